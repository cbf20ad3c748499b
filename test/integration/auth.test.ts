import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { base64url, exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { ulid } from 'ulid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TenantId } from '../../contract/common.ts';
import { ROLE_SCOPES } from '../../contract/keys.ts';
import { createKeyStore, type NewApiKey } from '../../lambdas/identity/api-keys.ts';
import { createAuthenticator } from '../../lambdas/identity/authenticator.ts';
import { createJwtVerifier } from '../../lambdas/identity/jwt.ts';
import { JwtIssuer } from '../../lambdas/identity/jwt-issuer.ts';
import { createLog } from '../../lambdas/runtime/log.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';

const rootSecret = `mr_root_${randomBytes(32).toString('base64url')}`;

function createWorld({ jwt = [] as JwtIssuer[] } = {}) {
  let now = Date.now();
  const clock = { now: () => new Date(now), newId: () => ulid(now) };
  const table = new SqliteTable({ database: openDatabase(':memory:'), name: 'identity' });
  const keys = createKeyStore({ table, clock });
  const lines: string[] = [];
  const log = createLog({}, (line) => lines.push(line));
  const verifyJwt = jwt.length > 0 ? createJwtVerifier({ issuers: jwt, clock, log }) : undefined;
  const authenticate = createAuthenticator({ keys, rootSecret: async () => rootSecret, verifyJwt, clock, log });
  return {
    keys,
    table,
    lines,
    authenticate: (token: string) => authenticate(`Bearer ${token}`),
    header: authenticate,
    in: (seconds: number) => new Date(now + seconds * 1_000).toISOString(),
    later: (seconds: number) => {
      now += seconds * 1_000;
    },
    createKey: (key: Partial<NewApiKey> = {}) =>
      keys.create({ tenant_id: 'acme' as TenantId, name: 'ci', role: 'editor', scopes: ['jobs:read'], ...key }),
    stored: async () => (await keys.list('acme', { limit: 10 })).items[0],
  };
}

const unauthenticated = (message: RegExp) => ({
  code: 'UnauthenticatedError',
  message: expect.stringMatching(message),
});

describe('API keys', () => {
  test('a key tells its tenant, role and scopes', async () => {
    const world = createWorld();
    const key = await world.createKey();
    expect(key.secret).toBe(`mr_${key.id.slice(4)}_${key.secret.slice(-43)}`);
    await expect(world.authenticate(key.secret)).resolves.toEqual({
      tenantId: 'acme',
      principalId: key.id,
      role: 'editor',
      scopes: ['jobs:read'],
      root: false,
    });
  });

  test('the table does not hold the token, and listings hold no digest', async () => {
    const world = createWorld();
    const { id, secret } = await world.createKey();
    const item = await world.table.get({ pk: `KEY#${id}`, sk: 'KEY' });
    expect(JSON.stringify(item)).not.toContain(secret.slice(-43));
    expect(await world.stored()).not.toHaveProperty('secret_sha256');
  });

  test('a wrong secret, an unknown id and nonsense are refused alike', async () => {
    const world = createWorld();
    const { secret } = await world.createKey();
    const swapped = secret.slice(0, -1) + (secret.endsWith('A') ? 'B' : 'A');
    const unknown = `mr_${ulid()}_${secret.slice(-43)}`;
    for (const token of [swapped, unknown, 'mr_', 'mr_x_y', `${secret}x`]) {
      await expect(world.authenticate(token)).rejects.toMatchObject(unauthenticated(/^the API key is not valid$/));
    }
  });

  test('a header without a bearer credential is refused', async () => {
    const world = createWorld();
    const { secret } = await world.createKey();
    for (const header of [undefined, '', secret, `Basic ${secret}`, 'Bearer', 'Bearer ', 'Bearer a b']) {
      await expect(world.header(header)).rejects.toMatchObject(unauthenticated(/Authorization: Bearer/));
    }
  });

  test('an expired key is refused, and told so, even while it was cached', async () => {
    const world = createWorld();
    const { secret } = await world.createKey({ expires_at: world.in(30) });
    await world.authenticate(secret);
    world.later(31);
    await expect(world.authenticate(secret)).rejects.toMatchObject(unauthenticated(/has expired/));
  });

  test('a revoked key works no longer than 60 seconds', async () => {
    const world = createWorld();
    const { id, secret } = await world.createKey();
    await world.authenticate(secret);
    expect(await world.keys.revoke('acme', id)).toBe(true);
    await world.authenticate(secret);
    world.later(60);
    await expect(world.authenticate(secret)).rejects.toMatchObject({ code: 'UnauthenticatedError' });
  });

  test('a last use is written once an hour, and does not bring back a revoked key', async () => {
    const world = createWorld();
    const { id, secret } = await world.createKey();
    await world.authenticate(secret);
    const first = await world.stored();
    expect(first?.last_used_at).toBeDefined();
    world.later(1_800);
    await world.authenticate(secret);
    expect(await world.stored()).toEqual(first);
    world.later(1_800);
    await world.authenticate(secret);
    const second = await world.stored();
    expect(Date.parse(second?.last_used_at ?? '') - Date.parse(first?.last_used_at ?? '')).toBe(3_600_000);

    await world.keys.revoke('acme', id);
    world.later(3_600);
    if (second) await world.keys.noteUse(second);
    expect(await world.stored()).toBeUndefined();
  });

  test('more keys than the cache holds all keep working', async () => {
    const world = createWorld();
    const created = await Promise.all(Array.from({ length: 1_100 }, () => world.createKey()));
    for (const { secret } of created) await world.authenticate(secret);
    for (const { id, secret } of created) expect((await world.authenticate(secret)).principalId).toBe(id);
  });
});

describe('the root secret', () => {
  test('is root, and names no tenant', async () => {
    const caller = await createWorld().authenticate(rootSecret);
    expect(caller).toMatchObject({ root: true, principalId: 'root', tenantId: '' });
  });

  test('is refused when it differs', async () => {
    const world = createWorld();
    for (const token of ['mr_root_', `${rootSecret}x`, `mr_root_${randomBytes(32).toString('base64url')}`]) {
      await expect(world.authenticate(token)).rejects.toMatchObject({ code: 'UnauthenticatedError' });
    }
  });
});

describe('JWTs', () => {
  const audience = 'millrace';
  let server: Server;
  let issuer: string;
  let issuers: JwtIssuer[];
  let rsa: Awaited<ReturnType<typeof generateKeyPair>>;
  let ec: Awaited<ReturnType<typeof generateKeyPair>>;
  let jwksAnswer: { status: number; body: string };
  let jwksRequests = 0;

  beforeAll(async () => {
    rsa = await generateKeyPair('RS256', { extractable: true });
    ec = await generateKeyPair('ES256', { extractable: true });
    const keys = [
      { ...(await exportJWK(rsa.publicKey)), kid: 'rsa', use: 'sig' },
      { ...(await exportJWK(ec.publicKey)), kid: 'ec', alg: 'ES256' },
    ];
    jwksAnswer = { status: 200, body: JSON.stringify({ keys }) };
    server = createServer((_req, res) => {
      jwksRequests += 1;
      res.writeHead(jwksAnswer.status).end(jwksAnswer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    issuers = [JwtIssuer.parse({ issuer, audience })];
  });
  afterAll(() => server.close());

  const now = () => Math.floor(Date.now() / 1_000);
  const claims = (more: JWTPayload = {}): JWTPayload => ({
    iss: issuer,
    aud: audience,
    sub: 'user-1',
    exp: now() + 60,
    tenant_id: 'acme',
    role: 'viewer',
    ...more,
  });
  const sign = (payload: JWTPayload, header = { alg: 'RS256', kid: 'rsa' }, key = rsa.privateKey) =>
    new SignJWT(payload).setProtectedHeader(header).sign(key);

  test('a valid token tells tenant, subject and role; the keys are read once', async () => {
    const world = createWorld({ jwt: issuers });
    const before = jwksRequests;
    const caller = { tenantId: 'acme', principalId: 'user-1', role: 'viewer', scopes: ROLE_SCOPES.viewer, root: false };
    await expect(world.authenticate(await sign(claims()))).resolves.toEqual(caller);
    await expect(world.authenticate(await sign(claims({ aud: ['other', audience] })))).resolves.toEqual(caller);
    const byEc = await sign(claims(), { alg: 'ES256', kid: 'ec' }, ec.privateKey);
    await expect(world.authenticate(byEc)).resolves.toEqual(caller);
    expect(jwksRequests - before).toBe(1);
  });

  test('claims may have other names', async () => {
    const jwt = [JwtIssuer.parse({ issuer, audience, tenant_claim: 'custom:org', role_claim: 'custom:role' })];
    const token = await sign(claims({ 'custom:org': 'globex', 'custom:role': 'owner' }));
    await expect(createWorld({ jwt }).authenticate(token)).resolves.toMatchObject({
      tenantId: 'globex',
      role: 'owner',
    });
  });

  test('an expired token is told so', async () => {
    const world = createWorld({ jwt: issuers });
    const token = await sign(claims({ exp: now() - 60 }));
    await expect(world.authenticate(token)).rejects.toMatchObject(unauthenticated(/has expired/));
  });

  test('a token that is not yet valid, of another issuer or for another audience is refused', async () => {
    const jwt = [...issuers, JwtIssuer.parse({ issuer: 'https://other.example', audience })];
    for (const world of [createWorld({ jwt: issuers }), createWorld({ jwt })]) {
      for (const wrong of [
        { nbf: now() + 60 },
        { iss: 'https://evil.example' },
        { aud: 'other' },
        { aud: undefined },
      ]) {
        const token = await sign(claims(wrong));
        await expect(world.authenticate(token)).rejects.toMatchObject(
          unauthenticated(/is not valid for this deployment/),
        );
      }
    }
  });

  test('a token without an end, a subject, a tenant or a role is refused', async () => {
    const world = createWorld({ jwt: issuers });
    const wrong: [JWTPayload, RegExp][] = [
      [{ exp: undefined }, /exp/],
      [{ sub: undefined }, /sub/],
      [{ tenant_id: undefined }, /claim tenant_id/],
      [{ tenant_id: 'Acme/../globex' }, /claim tenant_id/],
      [{ role: undefined }, /claim role/],
      [{ role: 'admin' }, /claim role/],
    ];
    for (const [more, message] of wrong) {
      await expect(world.authenticate(await sign(claims(more)))).rejects.toMatchObject(unauthenticated(message));
    }
  });

  test('a tampered token is refused', async () => {
    const world = createWorld({ jwt: issuers });
    const [header, , signature] = (await sign(claims())).split('.');
    const payload = base64url.encode(JSON.stringify(claims({ tenant_id: 'globex' })));
    const token = `${header}.${payload}.${signature}`;
    await expect(world.authenticate(token)).rejects.toMatchObject(unauthenticated(/is not valid for this deployment/));
  });

  test('algorithms other than public-key signatures are refused', async () => {
    const world = createWorld({ jwt: issuers });
    const encode = (part: object) => base64url.encode(JSON.stringify(part));
    const unsigned = ['none', 'None', 'RS256'].flatMap((alg) => [
      `${encode({ alg, kid: 'rsa' })}.${encode(claims())}.`,
      `${encode({ alg, kid: 'rsa' })}.${encode(claims())}.AA`,
    ]);
    // The confusion of a public key with a shared secret.
    const publicKey = new TextEncoder().encode(await exportSPKI(rsa.publicKey));
    const confused = await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: 'rsa' }).sign(publicKey);
    const withOtherKind = await sign(claims(), { alg: 'RS256', kid: 'ec' });
    for (const token of [...unsigned, confused, withOtherKind, 'a.b.c', '..', 'nonsense']) {
      await expect(world.authenticate(token)).rejects.toMatchObject(
        unauthenticated(/is not valid for this deployment/),
      );
    }
  });

  test("a signature by somebody else's key under a known or unknown key id is refused", async () => {
    const other = await generateKeyPair('RS256');
    const known = await sign(claims(), { alg: 'RS256', kid: 'rsa' }, other.privateKey);
    const unknown = await sign(claims(), { alg: 'RS256', kid: 'evil' }, other.privateKey);
    for (const token of [known, unknown]) {
      const world = createWorld({ jwt: issuers });
      await expect(world.authenticate(token)).rejects.toMatchObject({ code: 'UnauthenticatedError' });
    }
  });

  test('keys that cannot be read are a busy service, not a wrong token', async () => {
    const good = jwksAnswer;
    for (const bad of [
      { status: 500, body: '' },
      { status: 200, body: '<html>' },
    ]) {
      jwksAnswer = bad;
      const world = createWorld({ jwt: issuers });
      await expect(world.authenticate(await sign(claims()))).rejects.toMatchObject({ code: 'ServiceBusyError' });
    }
    jwksAnswer = good;
  });

  test('public keys are read again after an hour, so that a withdrawn one stops working', async () => {
    const world = createWorld({ jwt: issuers });
    const token = await sign(claims());
    await world.authenticate(token);
    const good = jwksAnswer;
    const { keys } = JSON.parse(good.body);
    jwksAnswer = { status: 200, body: JSON.stringify({ keys: keys.slice(1) }) };
    world.later(3_600);
    await expect
      .poll(
        () =>
          world.authenticate(token).then(
            () => 'accepted',
            (error) => error.code,
          ),
        { timeout: 5_000 },
      )
      .toBe('UnauthenticatedError');
    jwksAnswer = good;
  });

  test('without issuers a JWT is no credential', async () => {
    await expect(createWorld().authenticate(await sign(claims()))).rejects.toMatchObject({
      code: 'UnauthenticatedError',
    });
  });

  test('an issuer is spoken to by https, or on this machine', () => {
    for (const url of ['http://idp.example', 'ftp://127.0.0.1', 'idp.example', 'http://127.0.0.1.evil.example']) {
      expect(JwtIssuer.safeParse({ issuer: url, audience }).success).toBe(false);
    }
    for (const url of ['https://idp.example/pool', 'http://localhost:9000', 'http://[::1]:9000']) {
      expect(JwtIssuer.safeParse({ issuer: url, audience }).success).toBe(true);
    }
  });
});
