import { randomBytes } from 'node:crypto';
import { ulid } from 'ulid';
import { expect, test } from 'vitest';
import { ROLE_SCOPES } from '../../contract/keys.ts';
import { identity } from '../../contract/routes/identity.ts';
import { createKeyStore } from '../../lambdas/identity/api-keys.ts';
import { createAuthenticator } from '../../lambdas/identity/authenticator.ts';
import { createIdentityHandlers } from '../../lambdas/identity/handlers.ts';
import { createHttpApi } from '../../lambdas/runtime/http.ts';
import { createLog } from '../../lambdas/runtime/log.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';

const root = `mr_root_${randomBytes(32).toString('base64url')}`;

function createWorld() {
  const now = Date.now();
  // A new millisecond for each id: those made one after the other sort so.
  let ids = 0;
  const clock = { now: () => new Date(now), newId: () => ulid(now + ids++) };
  const table = new SqliteTable({ database: openDatabase(':memory:'), name: 'identity' });
  const keys = createKeyStore({ table, clock });
  const log = createLog({}, () => {});
  const api = createHttpApi({
    routes: identity.routes,
    handlers: createIdentityHandlers({ keys, clock, version: '1.2.3' }),
    authenticate: createAuthenticator({ keys, rootSecret: async () => root, clock, log }),
    log,
    validateResponses: true,
  });
  const call = async (
    token: string,
    method: string,
    path: string,
    {
      params = {},
      query = {},
      body,
    }: { params?: Record<string, string>; query?: Record<string, string>; body?: object } = {},
  ) => {
    const response = await api({
      method,
      path,
      params,
      query: Object.fromEntries(Object.entries(query).map(([name, value]) => [name, [value]])),
      headers: { authorization: `Bearer ${token}` },
      hasBodyBytes: body !== undefined,
      readBody: async () => JSON.stringify(body ?? {}),
      requestId: 'req-1',
    });
    return { status: response.status, json: response.body === '' ? undefined : JSON.parse(response.body) };
  };
  const create = (token: string, body: object) => call(token, 'POST', '/keys', { body: { name: 'a key', ...body } });
  const list = async (token: string, query = {}) => (await call(token, 'GET', '/keys', { query })).json;
  const revoke = (token: string, id: string, query = {}) =>
    call(token, 'DELETE', '/keys/{key_id}', { params: { key_id: id }, query });
  return { call, create, list, revoke };
}

test('root makes the first key of a tenant, told once, which makes further ones', async () => {
  const { create, list } = createWorld();
  const owner = await create(root, { tenant_id: 'acme', role: 'owner' });
  expect(owner).toMatchObject({ status: 201, json: { tenant_id: 'acme', role: 'owner', secret: expect.any(String) } });
  const editor = await create(owner.json.secret, { name: 'ci' });
  expect(editor.json).toMatchObject({ tenant_id: 'acme', name: 'ci', role: 'editor' });
  expect(editor.json.scopes).toEqual([...ROLE_SCOPES.editor]);

  const { items } = await list(owner.json.secret);
  expect(items.map(({ id }: { id: string }) => id)).toEqual([editor.json.id, owner.json.id]);
  expect(JSON.stringify(items)).not.toContain('secret');
});

test('root must name a tenant, everybody else has only their own', async () => {
  const { create, list, revoke } = createWorld();
  const owner = (await create(root, { tenant_id: 'acme', role: 'owner' })).json;
  for (const { status, json } of [await create(root, {}), await revoke(root, owner.id)]) {
    expect([status, json.details.problems[0].field]).toEqual([400, 'tenant_id']);
  }
  expect((await list(root, { tenant_id: 'No Tenant' })).error).toBe('ValidationError');
  expect((await create(owner.secret, { tenant_id: 'globex' })).status).toBe(403);
  expect((await list(owner.secret, { tenant_id: 'globex' })).error).toBe('ForbiddenError');
  expect((await create(owner.secret, { tenant_id: 'acme' })).status).toBe(201);
});

test("another tenant's key cannot be seen or revoked", async () => {
  const { create, list, revoke } = createWorld();
  const acme = (await create(root, { tenant_id: 'acme', role: 'owner' })).json;
  const globex = (await create(root, { tenant_id: 'globex', role: 'owner' })).json;
  expect((await revoke(globex.secret, acme.id)).json).toMatchObject({ error: 'KeyNotFoundError' });
  expect((await revoke(globex.secret, 'key_1')).json).toMatchObject({ error: 'KeyNotFoundError' });
  expect((await list(globex.secret)).items).toHaveLength(1);
  expect((await list(acme.secret)).items).toHaveLength(1);
});

test('a revoked key is gone, and revoking it again finds none', async () => {
  const { create, list, revoke } = createWorld();
  const key = (await create(root, { tenant_id: 'acme' })).json;
  expect((await revoke(root, key.id, { tenant_id: 'acme' })).status).toBe(204);
  expect((await revoke(root, key.id, { tenant_id: 'acme' })).status).toBe(404);
  expect((await list(root, { tenant_id: 'acme' })).items).toEqual([]);
});

test('nobody grants what they lack, nor what the role lacks', async () => {
  const { create } = createWorld();
  const keysOnly = (await create(root, { tenant_id: 'acme', role: 'owner', scopes: ['keys:write', 'jobs:read'] })).json;
  expect((await create(keysOnly.secret, {})).json).toMatchObject({ error: 'ForbiddenError' });
  expect((await create(keysOnly.secret, { scopes: ['jobs:read', 'jobs:read'] })).json.scopes).toEqual(['jobs:read']);
  const beyondRole = await create(root, { tenant_id: 'acme', role: 'viewer', scopes: ['jobs:write'] });
  expect(beyondRole.json.details.problems).toMatchObject([{ field: 'scopes' }]);

  const editor = (await create(root, { tenant_id: 'acme' })).json;
  expect((await create(editor.secret, {})).json).toMatchObject({ error: 'ForbiddenError' });
});

test('a key may end by itself', async () => {
  const { create } = createWorld();
  const key = (await create(root, { tenant_id: 'acme', expires_in_days: 2 })).json;
  expect(Date.parse(key.expires_at) - Date.parse(key.created_at)).toBe(2 * 86_400_000);
});

test('keys are listed page by page', async () => {
  const { create, list } = createWorld();
  for (let n = 1; n <= 5; n += 1) await create(root, { tenant_id: 'acme', name: `key ${n}` });
  const names: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await list(root, { tenant_id: 'acme', limit: '2', ...(cursor ? { cursor } : {}) });
    names.push(...page.items.map(({ name }: { name: string }) => name));
    cursor = page.next_cursor;
  } while (cursor);
  expect(names).toEqual(['key 5', 'key 4', 'key 3', 'key 2', 'key 1']);
  expect((await list(root, { tenant_id: 'acme', cursor: 'nonsense' })).error).toBe('InvalidCursorError');
});

test('health tells the version to anybody', async () => {
  const { call } = createWorld();
  expect(await call('', 'GET', '/health')).toEqual({ status: 200, json: { status: 'ok', version: '1.2.3' } });
});
