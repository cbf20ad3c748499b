import { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { type CreateKey, ROLE_SCOPES, SCOPES, type Scope } from '../../contract/keys.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Caller, Handlers } from '../runtime/api.ts';
import { validationError } from '../runtime/validation.ts';
import type { KeyStore } from './api-keys.ts';

export interface IdentityDeps {
  readonly keys: KeyStore;
  readonly clock: Clock;
  /** Of this deployment, for `GET /health`. */
  readonly version: string;
}

const DAY_MS = 86_400_000;

export function createIdentityHandlers({ keys, clock, version }: IdentityDeps): Handlers<'identity'> {
  return {
    async createKey({ caller, body }) {
      const { name, role, expires_in_days: days } = body;
      const key = { tenant_id: tenantOf(caller, body.tenant_id), name, role, scopes: grantedScopes(caller, body) };
      const expires_at = days && new Date(clock.now().getTime() + days * DAY_MS).toISOString();
      return { status: 201, body: await keys.create(expires_at ? { ...key, expires_at } : key) };
    },

    async listKeys({ caller, query }) {
      return { status: 200, body: await keys.list(tenantOf(caller, query.tenant_id), query) };
    },

    async revokeKey({ caller, params, query }) {
      const revoked = await keys.revoke(tenantOf(caller, query.tenant_id), params.key_id);
      if (!revoked) throw new DomainError('KeyNotFoundError', 'the API key does not exist', { key_id: params.key_id });
      return { status: 204 };
    },

    async getHealth() {
      return { status: 200, body: { status: 'ok', version } };
    },
  };
}

/** The root secret belongs to no tenant and names one each time; everyone else has their own. */
function tenantOf(caller: Caller, asked: string | undefined): TenantId {
  if (!caller.root) {
    if (asked === undefined || asked === caller.tenantId) return caller.tenantId;
    throw new DomainError('ForbiddenError', 'only the root secret can act for another tenant');
  }
  const tenant = TenantId.safeParse(asked);
  if (tenant.success) return tenant.data;
  const problem = asked === undefined ? 'is required with the root secret' : 'must be a tenant id';
  throw validationError([{ field: 'tenant_id', problem }]);
}

/** In the contract's order, each once. */
function grantedScopes(caller: Caller, { role, scopes = [...ROLE_SCOPES[role]] }: CreateKey): Scope[] {
  const beyondRole = scopes.filter((scope) => !ROLE_SCOPES[role].includes(scope));
  if (beyondRole.length > 0) {
    throw validationError([{ field: 'scopes', problem: `the role ${role} does not include ${beyondRole.join(', ')}` }]);
  }
  const beyondCaller = scopes.filter((scope) => !caller.scopes.includes(scope));
  if (beyondCaller.length > 0) {
    throw new DomainError(
      'ForbiddenError',
      `the credential cannot grant scopes that it lacks: ${beyondCaller.join(', ')}`,
      {
        scopes: beyondCaller,
      },
    );
  }
  return SCOPES.filter((scope) => scopes.includes(scope));
}
