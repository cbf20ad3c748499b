import { randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import * as z from 'zod/mini';
import type { Secrets } from '../../platform/ports/secrets.ts';

/** The present one first; the one before has an end. */
const Kept = z.object({
  secret: z.string(),
  previous: z.optional(z.object({ secret: z.string(), until: z.number() })),
});

/** 24–64 bytes, says https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
const newSecret = () => `whsec_${randomBytes(32).toString('base64')}`;

export async function createSecret(secrets: Secrets, name: string): Promise<string> {
  const secret = newSecret();
  await secrets.put(name, JSON.stringify({ secret }));
  return secret;
}

/** The secret before is good until `until`, epoch milliseconds; one before that, no more. */
export async function rotateSecret(secrets: Secrets, name: string, until: number): Promise<string> {
  const kept = await read(secrets, name);
  const secret = newSecret();
  await secrets.put(name, JSON.stringify({ secret, ...(kept ? { previous: { secret: kept.secret, until } } : {}) }));
  return secret;
}

/** The headers of a message, signed with each secret that is good; undefined if there is none any more. */
export async function signMessage(
  secrets: Secrets,
  name: string,
  { id, at, body }: { id: string; at: Date; body: string },
): Promise<Record<string, string> | undefined> {
  const kept = await read(secrets, name);
  if (!kept) return undefined;
  const { secret, previous } = kept;
  const good = [secret, ...(previous && previous.until > at.getTime() ? [previous.secret] : [])];
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': good.map((one) => new Webhook(one).sign(id, at, body)).join(' '),
  };
}

async function read(secrets: Secrets, name: string): Promise<z.infer<typeof Kept> | undefined> {
  const text = await secrets.get(name);
  return text === undefined ? undefined : Kept.parse(JSON.parse(text));
}
