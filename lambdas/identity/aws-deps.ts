import * as z from 'zod/mini';
import { systemClock } from '../../platform/system-clock.ts';
import type { Authenticate } from '../runtime/api.ts';
import { openTable } from '../runtime/aws-composition.ts';
import { jsonText, readConfig } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';
import { createKeyStore, type KeyStore } from './api-keys.ts';
import { createAuthenticator } from './authenticator.ts';
import { JwtIssuer } from './jwt.ts';

export function openKeys(): KeyStore {
  return createKeyStore({ table: openTable('identity'), clock: systemClock });
}

/** `rootSecret` is for the identity API alone. */
export function openAuthenticator(options: {
  keys: KeyStore;
  log: Log;
  rootSecret?: () => Promise<string>;
}): Authenticate {
  const { ISSUERS: jwt } = readConfig({ ISSUERS: jsonText(z.array(JwtIssuer)) });
  return createAuthenticator({ ...options, jwt, clock: systemClock });
}
