import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { ApiKey, type CreatedKey } from '../../contract/keys.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Item, Table } from '../../platform/ports/table.ts';

/** `mr_`, the ULID of the key's id, `_`, 256 random bits in base64url. */
const TOKEN = /^mr_([0-9A-HJKMNP-TV-Z]{26})_([A-Za-z0-9_-]{43})$/;

/** A last use is written at most once an hour. */
const LAST_USE_STEP_MS = 3_600_000;

export type NewApiKey = Pick<ApiKey, 'tenant_id' | 'name' | 'role' | 'scopes' | 'expires_at'>;
export type KeyStore = ReturnType<typeof createKeyStore>;

/**
 * The API keys in the `identity` table, one item each: pk `KEY#<id>`, found by id alone;
 * index g1 `TENANT#<tenant>` by id, thus by time of creation.
 */
export function createKeyStore({ table, clock }: { table: Table; clock: Clock }) {
  return {
    /** The answer has the only copy of the token. */
    async create({ expires_at, ...key }: NewApiKey): Promise<CreatedKey> {
      const ulid = clock.newId();
      const token = `mr_${ulid}_${randomBytes(32).toString('base64url')}`;
      const created = {
        ...key,
        id: `key_${ulid}`,
        created_at: clock.now().toISOString(),
        ...(expires_at === undefined ? {} : { expires_at }),
      };
      const item: Item = {
        ...keyOf(created.id),
        ...created,
        g1pk: `TENANT#${created.tenant_id}`,
        g1sk: created.id,
        secret_sha256: sha256(token).toString('base64'),
      };
      const { ok } = await table.write({ op: 'put', item, unlessExists: true });
      if (!ok) throw new Error(`there is a key ${created.id} already`);
      return { ...ApiKey.parse(created), secret: token };
    },

    /** The key whose token this is, expired or not. */
    async findByToken(token: string): Promise<ApiKey | undefined> {
      const ulid = TOKEN.exec(token)?.[1];
      if (!ulid) return undefined;
      const item = await table.get(keyOf(`key_${ulid}`));
      if (!item || !timingSafeEqual(sha256(token), Buffer.from(String(item.secret_sha256), 'base64'))) return undefined;
      return ApiKey.parse(item);
    },

    async list(tenantId: string, page: { limit: number; cursor?: string | undefined }) {
      const { limit, cursor } = page;
      const found = await table.query({
        pk: `TENANT#${tenantId}`,
        index: 'g1',
        limit,
        descending: true,
        ...(cursor === undefined ? {} : { cursor }),
      });
      const items = found.items.map((item) => ApiKey.parse(item));
      return found.cursor === undefined ? { items } : { items, next_cursor: found.cursor };
    },

    /** False if the tenant has no such key. */
    async revoke(tenantId: string, keyId: string): Promise<boolean> {
      const { ok } = await table.write({ op: 'delete', key: keyOf(keyId), if: { tenant_id: tenantId } });
      return ok;
    },

    /** Notes that the key was used now, unless that was noted within the hour; of several at once, one writes. */
    async noteUse(key: ApiKey): Promise<void> {
      const now = clock.now();
      if (key.last_used_at && now.getTime() - Date.parse(key.last_used_at) < LAST_USE_STEP_MS) return;
      await table.write({
        op: 'update',
        key: keyOf(key.id),
        if: { last_used_at: key.last_used_at ?? { absent: true } },
        set: { last_used_at: now.toISOString() },
      });
    },
  };
}

function keyOf(id: string) {
  return { pk: `KEY#${id}`, sk: 'KEY' };
}

function sha256(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
