import * as z from 'zod/mini';
import { ROOT_SECRET_PREFIX } from '../../contract/keys.ts';
import { ROOT_SECRET } from '../../platform/ports/secrets.ts';
import type { Authenticate } from '../runtime/api.ts';
import type { Platform } from '../runtime/platform.ts';
import { createKeyStore, type KeyStore } from './api-keys.ts';
import { createAuthenticator } from './authenticator.ts';
import { JwtIssuer } from './jwt-issuer.ts';

export async function openKeys(platform: Platform): Promise<KeyStore> {
  return createKeyStore({ table: await platform.table('identity'), clock: platform.clock });
}

/** Opens the authenticator of every API and of the WebSocket. What verifies JWTs is loaded where there are issuers. */
export async function openAuthenticator(platform: Platform): Promise<Authenticate> {
  const { clock, log, acceptsRootSecret } = platform;
  const { issuers } = platform.settings({ issuers: z._default(z.array(JwtIssuer), []) });
  const jwt = issuers.length > 0 ? await import('./jwt.ts') : undefined;
  return createAuthenticator({
    keys: await openKeys(platform),
    rootSecret: acceptsRootSecret ? () => readRootSecret(platform) : undefined,
    verifyJwt: jwt?.createJwtVerifier({ issuers, clock, log }),
    clock,
    log,
  });
}

/** The stored part is random alone: the prefix tells what it is. */
async function readRootSecret(platform: Platform): Promise<string | undefined> {
  const random = await (await platform.secrets()).get(ROOT_SECRET);
  return random === undefined ? undefined : ROOT_SECRET_PREFIX + random;
}
