import { get } from 'node:http';
import {
  FetchError,
  JwksValidationError,
  JwkValidationError,
  JwtBaseError,
  JwtExpiredError,
  WaitPeriodNotYetEndedJwkError,
} from 'aws-jwt-verify/error';
import { type Fetcher, SimpleFetcher } from 'aws-jwt-verify/https';
import { SimpleJwksCache } from 'aws-jwt-verify/jwk';
import { JwtVerifier } from 'aws-jwt-verify/jwt-verifier';
import type * as z from 'zod/mini';
import { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { ROLE_SCOPES, Role } from '../../contract/keys.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Caller } from '../runtime/api.ts';
import type { Log } from '../runtime/log.ts';
import type { JwtIssuer } from './jwt-issuer.ts';

/** Clocks of issuer and verifier may differ by this much. */
const CLOCK_SKEW_SECONDS = 5;
/** Public keys are read again this often, so that one which its issuer withdraws stops working. */
const JWKS_LIFETIME_MS = 3_600_000;
const MAX_JWKS_BYTES = 1_000_000;
const LOOPBACK_TIMEOUT_MS = 3_000;

/** Verifies a JWT's signature, issuer, audience and times, and reads the caller from its claims. */
export function createJwtVerifier({
  issuers,
  clock,
  log,
}: {
  issuers: readonly JwtIssuer[];
  clock: Clock;
  log: Log;
}): (token: string) => Promise<Caller> {
  const verifier = JwtVerifier.create(
    issuers.map(({ issuer, audience, jwks_uri }) => ({
      issuer,
      audience,
      graceSeconds: CLOCK_SKEW_SECONDS,
      ...(jwks_uri === undefined ? {} : { jwksUri: jwks_uri }),
    })),
    { jwksCache: new SimpleJwksCache({ fetcher: jwksFetcher }) },
  );
  let jwksReadAt = clock.now().getTime();

  function refreshJwks(): void {
    const now = clock.now().getTime();
    if (now - jwksReadAt < JWKS_LIFETIME_MS) return;
    jwksReadAt = now;
    verifier.hydrate().catch((error: unknown) => log.warn('public keys could not be refreshed', { error: `${error}` }));
  }

  return async (token) => {
    refreshJwks();
    const claims = await verifier.verify(token).catch((error: unknown) => {
      throw refusal(error, log);
    });
    const issuer = issuers.find(({ issuer }) => issuer === claims.iss);
    if (!issuer || claims.exp === undefined || !claims.sub) {
      throw new DomainError('UnauthenticatedError', 'the JWT lacks one of the claims iss, sub and exp');
    }
    const { tenant_claim, role_claim } = issuer;
    return {
      tenantId: readClaim(TenantId, claims, tenant_claim),
      principalId: claims.sub,
      ...scopesOf(readClaim(Role, claims, role_claim)),
      root: false,
    };
  };
}

function scopesOf(role: Role): Pick<Caller, 'role' | 'scopes'> {
  return { role, scopes: ROLE_SCOPES[role] };
}

function readClaim<T extends z.ZodMiniType>(
  schema: T,
  claims: Readonly<Record<string, unknown>>,
  name: string,
): z.output<T> {
  const parsed = schema.safeParse(claims[name]);
  if (parsed.success) return parsed.data;
  throw new DomainError('UnauthenticatedError', `the claim ${name} of the JWT is missing or not valid`, {
    claim: name,
  });
}

function refusal(error: unknown, log: Log): DomainError {
  const cause = { cause: error };
  if (
    error instanceof FetchError ||
    error instanceof JwksValidationError ||
    error instanceof JwkValidationError ||
    error instanceof WaitPeriodNotYetEndedJwkError
  ) {
    return new DomainError('ServiceBusyError', "the issuer's public keys cannot be read; try again later", {}, cause);
  }
  if (error instanceof JwtExpiredError) {
    return new DomainError('UnauthenticatedError', 'the JWT has expired; get a new one', {}, cause);
  }
  // Not the library's own verdict: a key that the runtime's crypto refuses, for instance.
  if (!(error instanceof JwtBaseError)) log.warn('a token could not be verified', { error: `${error}` });
  return new DomainError('UnauthenticatedError', 'the JWT is not valid for this deployment', {}, cause);
}

const https = new SimpleFetcher();

/** The library's fetcher takes https alone; issuers on this machine speak http. */
const jwksFetcher: Fetcher = {
  fetch: (uri) => (uri.startsWith('https:') ? https.fetch(uri) : fetchFromLoopback(uri)),
};

function fetchFromLoopback(uri: string): Promise<ArrayBuffer> {
  return new Promise((resolve, reject) => {
    const fail = (problem: string) => reject(new FetchError(uri, problem));
    const request = get(uri, { timeout: LOOPBACK_TIMEOUT_MS }, (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        fail(`status ${response.statusCode}`);
        return;
      }
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > MAX_JWKS_BYTES) request.destroy(new Error('too long'));
      });
      response.on('end', () => resolve(new Uint8Array(Buffer.concat(chunks)).buffer));
      response.on('error', (error) => fail(error.message));
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', (error) => fail(error.message));
  });
}
