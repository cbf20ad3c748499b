import * as z from 'zod/mini';
import { ROLES } from './choices.ts';
import { KeyId, TenantId, Timestamp } from './common.ts';
import { MAX_KEY_DAYS } from './limits.ts';

/** What a credential allows; every route names the one that it needs. */
export const SCOPES = [
  'uploads:read',
  'uploads:write',
  'jobs:read',
  'jobs:write',
  'products:read',
  'products:write',
  /** For a seller's bridge: fetch commands and answer them. */
  'bridge:write',
  'webhooks:write',
  'keys:write',
] as const;
export const Scope = z.enum(SCOPES);
export type Scope = z.infer<typeof Scope>;

export const Role = z.enum(ROLES);
export type Role = z.infer<typeof Role>;

/** The scopes of a role: of JWTs, whose claim names a role, and of keys that name no scopes. */
export const ROLE_SCOPES: Record<Role, readonly Scope[]> = {
  owner: SCOPES,
  editor: [
    'uploads:read',
    'uploads:write',
    'jobs:read',
    'jobs:write',
    'products:read',
    'products:write',
    'bridge:write',
    'webhooks:write',
  ],
  viewer: ['uploads:read', 'jobs:read', 'products:read'],
};

/** How the root secret begins; it is accepted on the routes of keys alone. */
export const ROOT_SECRET_PREFIX = 'mr_root_';

export const CreateKey = z.object({
  /** The tenant that the key acts for; only the root secret may name another than its own. */
  tenant_id: z.optional(TenantId),
  name: z.string().check(z.minLength(1), z.maxLength(128)),
  role: z._default(Role, 'editor'),
  /** A subset of the role's scopes; all of them when left out. */
  scopes: z.optional(z.array(Scope).check(z.minLength(1), z.maxLength(SCOPES.length))),
  /** The key does not expire when this is left out. */
  expires_in_days: z.optional(z.int().check(z.minimum(1), z.maximum(MAX_KEY_DAYS))),
});
export type CreateKey = z.infer<typeof CreateKey>;

export const ApiKey = z.object({
  id: KeyId,
  tenant_id: TenantId,
  name: z.string(),
  role: Role,
  scopes: z.array(Scope),
  created_at: Timestamp,
  expires_at: z.optional(Timestamp),
  last_used_at: z.optional(Timestamp),
});
export type ApiKey = z.infer<typeof ApiKey>;

/** `secret` is told once; only its SHA-256 is kept. */
export const CreatedKey = z.extend(ApiKey, { secret: z.string() });
export type CreatedKey = z.infer<typeof CreatedKey>;
