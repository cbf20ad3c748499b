import * as z from 'zod/mini';

const IssuerUrl = z.string().check(
  z.refine((text) => {
    const url = URL.parse(text);
    return url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  }, 'an https URL, or an http URL of this machine'),
);

/** An OpenID Connect issuer whose JWTs are accepted. */
export const JwtIssuer = z.object({
  /** As the tokens' `iss` claim has it. */
  issuer: IssuerUrl,
  /** One of these must be in the tokens' `aud` claim. */
  audience: z.union([
    z.string().check(z.minLength(1)),
    z.array(z.string().check(z.minLength(1))).check(z.minLength(1)),
  ]),
  /** Where its public keys are; `<issuer>/.well-known/jwks.json` when left out. */
  jwks_uri: z.optional(IssuerUrl),
  tenant_claim: z._default(z.string(), 'tenant_id'),
  role_claim: z._default(z.string(), 'role'),
});
export type JwtIssuer = z.output<typeof JwtIssuer>;

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
}
