import { createHash, timingSafeEqual } from 'node:crypto';
import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { type ApiKey, ROOT_SECRET_PREFIX, SCOPES } from '../../contract/keys.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Authenticate, Caller } from '../runtime/api.ts';
import type { Log } from '../runtime/log.ts';
import type { KeyStore } from './api-keys.ts';

/** How long a credential that was found valid is not looked at again: the delay of a revocation. */
const CACHE_MS = 60_000;
const MAX_CACHED = 1_000;

/** Names no tenant by itself: each call with it must say which one is meant. */
const ROOT: Caller = { tenantId: '' as TenantId, principalId: 'root', role: 'owner', scopes: SCOPES, root: true };

interface CachedCaller {
  readonly caller: Caller;
  readonly until: number;
}

/** Resolves API keys, JWTs and the root secret. */
export function createAuthenticator({
  keys,
  rootSecret,
  verifyJwt,
  clock,
  log,
}: {
  keys: KeyStore;
  /** The whole secret as callers send it: `mr_root_` and at least 32 characters. Without it there is no root. */
  rootSecret?: (() => Promise<string | undefined>) | undefined;
  /** Without it no JWTs are accepted. */
  verifyJwt?: ((token: string) => Promise<Caller>) | undefined;
  clock: Clock;
  log: Log;
}): Authenticate {
  // By digest: a credential itself stays in memory no longer than its request.
  const cache = new Map<string, CachedCaller>();

  function remember(digest: string, caller: Caller, expiresAt: string | undefined): Caller {
    const until = Math.min(
      clock.now().getTime() + CACHE_MS,
      expiresAt ? Date.parse(expiresAt) : Number.POSITIVE_INFINITY,
    );
    cache.delete(digest);
    cache.set(digest, { caller, until });
    const oldest = cache.keys().next().value;
    if (cache.size > MAX_CACHED && oldest !== undefined) cache.delete(oldest);
    return caller;
  }

  async function authenticateKey(token: string, digest: string): Promise<Caller> {
    const key = await keys.findByToken(token);
    if (!key) throw unauthenticated('the API key is not valid');
    if (key.expires_at && Date.parse(key.expires_at) <= clock.now().getTime()) {
      throw unauthenticated('the API key has expired');
    }
    // Only for show: a busy table must not keep a valid key out.
    await keys
      .noteUse(key)
      .catch((error: unknown) => log.warn('last use of an API key not recorded', { error: `${error}` }));
    return remember(digest, callerOf(key), key.expires_at);
  }

  async function authenticateRoot(token: string, digest: string): Promise<Caller> {
    const secret = await rootSecret?.();
    if (!secret || !timingSafeEqual(sha256(secret), sha256(token)))
      throw unauthenticated('the root secret is not valid');
    return remember(digest, ROOT, undefined);
  }

  return async (authorization) => {
    const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    if (!token)
      throw unauthenticated('the request has no credential: send the header Authorization: Bearer <API key or JWT>');
    if (!token.startsWith('mr_')) {
      if (!verifyJwt) throw unauthenticated('the credential is not a valid API key');
      return verifyJwt(token);
    }
    const digest = sha256(token).toString('base64');
    const cached = cache.get(digest);
    if (cached && clock.now().getTime() < cached.until) return cached.caller;
    return token.startsWith(ROOT_SECRET_PREFIX) ? authenticateRoot(token, digest) : authenticateKey(token, digest);
  };
}

function callerOf(key: ApiKey): Caller {
  return { tenantId: key.tenant_id, principalId: key.id, role: key.role, scopes: key.scopes, root: false };
}

function unauthenticated(message: string): DomainError {
  return new DomainError('UnauthenticatedError', message);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
