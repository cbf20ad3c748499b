import * as z from 'zod/mini';
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
  const { clock, log, rootSecret } = platform;
  const { issuers } = platform.settings({ issuers: z._default(z.array(JwtIssuer), []) });
  const jwt = issuers.length > 0 ? await import('./jwt.ts') : undefined;
  return createAuthenticator({
    keys: await openKeys(platform),
    rootSecret,
    verifyJwt: jwt?.createJwtVerifier({ issuers, clock, log }),
    clock,
    log,
  });
}
