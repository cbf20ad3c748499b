import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TenantId } from '../../contract/common.ts';
import { DomainError, type ErrorBody } from '../../contract/errors.ts';
import { type Context, type Operation, routes } from '../../contract/routes.ts';
import type { Caller, Handlers } from '../../lambdas/runtime/api.ts';
import { createHttpApi, type RawRequest } from '../../lambdas/runtime/http.ts';
import { lambdaHttpHandler } from '../../lambdas/runtime/lambda-http.ts';
import { createLog } from '../../lambdas/runtime/log.ts';

const owner: Caller = {
  tenantId: 'acme' as TenantId,
  principalId: 'key_1',
  role: 'owner',
  scopes: ['uploads:read', 'uploads:write', 'jobs:read', 'jobs:write', 'keys:write'],
  root: false,
};
const JOB_ID = 'job_01J00000000000000000000000';

function createWorld({
  handlers = {},
  caller = owner,
  validateResponses = false,
}: {
  handlers?: Partial<Handlers<Context>>;
  caller?: Caller;
  validateResponses?: boolean;
} = {}) {
  const lines: Record<string, unknown>[] = [];
  const api = createHttpApi({
    routes,
    handlers,
    authenticate: async (authorization) => {
      if (!authorization) throw new DomainError('UnauthenticatedError', 'send a credential');
      return caller;
    },
    log: createLog({}, (line) => lines.push(JSON.parse(line))),
    validateResponses,
  });
  const send = async (request: Partial<RawRequest> & { body?: string | Uint8Array }) => {
    const { body = '', headers, ...more } = request;
    const response = await api({
      method: 'GET',
      path: '/health',
      params: {},
      query: {},
      headers: { authorization: 'Bearer x', ...headers },
      hasBodyBytes: body.length > 0,
      readBody: async () => body,
      requestId: 'req-1',
      ...more,
    });
    return { ...response, json: response.body === '' ? undefined : JSON.parse(response.body) };
  };
  return { send, lines, api };
}

const health = { getHealth: async () => ({ status: 200, body: { status: 'ok' as const, version: '1.2.3' } }) };
/** Answers with what the use case gets. */
const echoKeys = {
  createKey: async (request: object) => ({ status: 201, body: request as never }),
  listKeys: async (request: object) => ({ status: 200, body: request as never }),
};

describe('answers', () => {
  test('a success carries JSON, its request id, and what browsers need', async () => {
    const { send } = createWorld({ handlers: health });
    const { status, headers, json } = await send({});
    expect([status, json]).toEqual([200, { status: 'ok', version: '1.2.3' }]);
    expect(headers).toEqual({
      'x-request-id': 'req-1',
      'cache-control': 'no-store',
      'content-type': 'application/json',
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'location, retry-after, x-request-id',
    });
  });

  test('a domain error tells its code, message and details with its status', async () => {
    const fail = async () => {
      throw new DomainError('JobNotCancellableError', 'the job has ended', { state: 'completed' });
    };
    const { send } = createWorld({ handlers: { cancelJob: fail } });
    const { status, json } = await send({ method: 'DELETE', path: '/jobs/{job_id}', params: { job_id: JOB_ID } });
    expect(status).toBe(409);
    expect(json).toEqual({
      error: 'JobNotCancellableError',
      message: 'the job has ended',
      details: { state: 'completed' },
      request_id: 'req-1',
    } satisfies ErrorBody);
  });

  test('a defect tells nothing, and the log tells its stack', async () => {
    const fail = async () => {
      throw new TypeError('secret detail');
    };
    const { send, lines } = createWorld({ handlers: { getHealth: fail } });
    const { status, json } = await send({});
    expect([status, json.error, json.details]).toEqual([500, 'InternalError', {}]);
    expect(JSON.stringify(json)).not.toContain('secret detail');
    expect(lines).toMatchObject([
      { level: 'error', request_id: 'req-1', error: { message: 'secret detail', stack: expect.any(String) } },
    ]);
  });

  test('what may heal soon says when to try again; a missing credential says which kind', async () => {
    const fail = async () => {
      throw new DomainError('ServiceBusyError', 'busy');
    };
    const { send } = createWorld({ handlers: { getHealth: fail, listKeys: fail } });
    expect((await send({})).headers['retry-after']).toBe('1');
    const full = async () => {
      throw new DomainError('QuotaExceededError', 'full', { retry_after_seconds: 60 });
    };
    expect((await createWorld({ handlers: { getHealth: full } }).send({})).headers['retry-after']).toBe('60');
    const anonymous = await send({ path: '/keys', headers: { authorization: undefined } });
    expect([anonymous.status, anonymous.headers['www-authenticate']]).toEqual([401, 'Bearer']);
  });

  test('one log line a request, without credentials, bodies or URLs', async () => {
    const location = 'https://bucket.example/part?X-Amz-Signature=abc';
    const handlers = { redirectPart: async () => ({ status: 307, headers: { location } }) };
    const { send, lines } = createWorld({ handlers });
    const path = '/uploads/{upload_id}/part/{part_number}';
    const params = { upload_id: 'upl_01J00000000000000000000000', part_number: '1' };
    const response = await send({ method: 'PUT', path, params, headers: { authorization: 'Bearer mr_secret' } });
    expect([response.status, response.headers.location, response.body]).toEqual([307, location, '']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ operation: 'redirectPart', status: 307, tenant_id: 'acme', request_id: 'req-1' });
    expect(JSON.stringify(lines)).not.toMatch(/mr_secret|Signature/);
  });

  test('in development an answer that the contract does not describe is a defect', async () => {
    const replies = [
      { status: 418, body: { status: 'ok', version: '1' } },
      { status: 200 },
      { status: 200, body: { status: 'fine', version: '1' } },
      { status: 200, body: { status: 'ok', version: '1', pk: 'KEY#1' } },
    ];
    for (const reply of replies) {
      const handlers = { getHealth: async () => reply as never };
      expect((await createWorld({ handlers, validateResponses: true }).send({})).status).toBe(500);
    }
    const good = createWorld({ handlers: health, validateResponses: true });
    expect((await good.send({})).status).toBe(200);
  });
});

describe('who may call', () => {
  test('a route needs its scope, and the answer names it', async () => {
    const caller = { ...owner, scopes: ['jobs:read' as const] };
    const { send } = createWorld({ caller, handlers: echoKeys });
    const { status, json } = await send({ method: 'POST', path: '/keys', body: '{"name":"ci"}' });
    expect([status, json.error, json.details]).toEqual([403, 'ForbiddenError', { scope: 'keys:write' }]);
  });

  test('root is for the keys routes alone', async () => {
    const caller = { ...owner, root: true };
    const handlers = { ...echoKeys, listJobs: async () => ({ status: 200, body: { items: [] } }) };
    const { send } = createWorld({ caller, handlers });
    expect((await send({ path: '/jobs' })).json.error).toBe('ForbiddenError');
    expect((await send({ path: '/keys' })).status).toBe(200);
  });

  test('nothing is parsed or read for a caller who is not known or not allowed', async () => {
    const { send } = createWorld({ handlers: echoKeys });
    let read = false;
    const readBody = async () => {
      read = true;
      return '{';
    };
    const { status } = await send({ method: 'POST', path: '/keys', headers: { authorization: undefined }, readBody });
    expect([status, read]).toEqual([401, false]);
  });

  test('a route without credentials takes any', async () => {
    const { send } = createWorld({ handlers: health });
    expect((await send({ headers: { authorization: undefined } })).status).toBe(200);
  });
});

describe('requests', () => {
  const { send } = createWorld({
    handlers: {
      ...echoKeys,
      getJob: async () => ({ status: 200, body: {} as never }),
      listJobs: async () => ({ status: 200, body: { items: [] } }),
    },
  });
  const post = (body: string | Uint8Array, headers = {}) => send({ method: 'POST', path: '/keys', body, headers });

  test.each([
    ['created_after', 'created_after=yesterday'],
    ['created_after', 'created_after=2026-02-30T00:00:00Z'],
    ['created_after', 'created_after=2026-01-31T08:00:00'],
    ['created_before', 'created_before=1769846400'],
    ['created_before', 'created_after=2026-01-31T08:00:00Z&created_before=2026-01-31T09:00:00%2B01:00'],
  ])('a range of times that is none is refused by its field, %s: %s', async (field, search) => {
    const query = Object.fromEntries([...new URLSearchParams(search)].map(([name, value]) => [name, [value]]));
    const { status, json } = await send({ path: '/jobs', query });
    expect([status, json.error]).toEqual([400, 'ValidationError']);
    expect(json.details.problems).toEqual([{ field, problem: expect.stringMatching(/^must be/) }]);
  });

  test('every bad field is listed, and the message names the first', async () => {
    const { status, json } = await post('{"name":"","role":"king","expires_in_days":1.5}');
    expect(status).toBe(400);
    expect(json.error).toBe('ValidationError');
    expect(json.message).toMatch(/^name is not valid: .*\(and 2 more\)$/);
    expect(json.details.problems.map(({ field }: { field: string }) => field)).toEqual([
      'name',
      'role',
      'expires_in_days',
    ]);
  });

  test('nested fields are named by their path', async () => {
    const { json } = await post('{"name":"ci","scopes":["jobs:read","all"]}');
    expect(json.details.problems).toMatchObject([{ field: 'scopes[1]' }]);
  });

  test('of a great many problems the first hundred are listed', async () => {
    const world = createWorld({ handlers: { completeUpload: echoKeys.listKeys } });
    const { status, json } = await world.send({
      method: 'POST',
      path: '/uploads/{upload_id}/complete',
      params: { upload_id: 'upl_01J00000000000000000000000' },
      body: JSON.stringify({ parts: Array(10_000).fill({}) }),
    });
    expect([status, json.details.problems.length]).toEqual([400, 100]);
  });

  test('a malformed id is answered as an unknown one is', async () => {
    for (const job_id of ['job_1', '..', 'job_01j00000000000000000000000', '%00', '__proto__']) {
      const { status, json } = await send({ path: '/jobs/{job_id}', params: { job_id } });
      expect([status, json.error]).toEqual([404, 'JobNotFoundError']);
    }
  });

  test('query values are parsed, with defaults; a repeated name is refused', async () => {
    expect((await send({ path: '/keys', query: { limit: ['7'] } })).json.query).toEqual({ limit: 7 });
    expect((await send({ path: '/keys' })).json.query).toEqual({ limit: 50 });
    for (const query of [{ limit: ['0'] }, { limit: ['x'] }, { limit: ['1', '2'] }, { limit: ['501'] }]) {
      const { status, json } = await send({ path: '/keys', query });
      expect([status, json.details.problems[0].field]).toEqual([400, 'limit']);
    }
  });

  test('a body may be left out where every field may', async () => {
    const handlers = { completeUpload: async (request: object) => ({ status: 200, body: request as never }) };
    const params = { upload_id: 'upl_01J00000000000000000000000' };
    const world = createWorld({ handlers });
    const { json } = await world.send({ method: 'POST', path: '/uploads/{upload_id}/complete', params });
    expect(json.body).toEqual({});
  });

  test('a body that is no JSON, no UTF-8 or of another type is refused with a sentence', async () => {
    expect((await post('{"name":')).json.message).toMatch(/^body is not valid: must be JSON/);
    expect((await post(Uint8Array.of(0x22, 0xff, 0x22))).json.message).toMatch(/must be UTF-8/);
    expect((await post('name=ci', { 'content-type': 'application/x-www-form-urlencoded' })).json.message).toMatch(
      /content-type: application\/json/,
    );
    expect((await post('{"name":"ci"}', { 'content-type': 'application/json; charset=utf-8' })).status).toBe(201);
    expect((await post('[]')).json.details.problems).toMatchObject([{ field: 'body' }]);
  });

  test('a body that no store could keep is refused', async () => {
    const bodies = {
      'must not contain a member named "__proto__"': '{"name":"ci","x":{"__proto__":{"root":true}}}',
      'must contain well-formed Unicode only': '{"name":"\\ud800"}',
      'must not contain a member named ""': '{"name":"ci","x":{"":1}}',
      'must not contain numbers that are too large or too small': '{"name":"ci","x":[1e-200,1e999]}',
      'must not be nested deeper than 24 levels': `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    };
    for (const [problem, body] of Object.entries(bodies)) {
      const { status, json } = await post(body);
      expect([status, json.details.problems]).toEqual([400, [{ field: 'body', problem }]]);
    }
  });

  test('a body beyond the limit is refused', async () => {
    const { status, json } = await post(`"${'x'.repeat(4 * 1024 * 1024)}"`);
    expect([status, json.error]).toEqual([413, 'PayloadTooLargeError']);
  });

  test('an operation without a handler here is no route', async () => {
    expect((await send({ path: '/files' })).json.error).toBe('RouteNotFoundError');
  });

  test('no request makes a defect', async () => {
    const names = Object.keys(routes) as Operation[];
    const handlers: Partial<Handlers<Context>> = Object.fromEntries(
      names.map((name) => [name, async () => ({ status: 200 })]),
    );
    const world = createWorld({ handlers });
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('', '__proto__', 'constructor', '0', 'upl_01J00000000000000000000000', JOB_ID),
    );
    const body = fc.oneof(
      text,
      fc.json(),
      fc.uint8Array(),
      fc
        .record(
          {
            name: fc.jsonValue(),
            size_bytes: fc.jsonValue(),
            parts: fc.jsonValue(),
            workflow: fc.jsonValue(),
            input: fc.jsonValue(),
          },
          { requiredKeys: [] },
        )
        .map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.constantFrom(...names).map((name): { method: string; path: string } => routes[name]),
          fc.record({ method: text, path: text }),
        ),
        fc.dictionary(fc.oneof(text, fc.constantFrom('upload_id', 'job_id', 'file_id', 'key_id', 'part_number')), text),
        fc.dictionary(fc.oneof(text, fc.constantFrom('limit', 'cursor', 'wait_seconds', 'state')), fc.array(text)),
        fc.dictionary(fc.constantFrom('authorization', 'content-type', 'idempotency-key'), text),
        body,
        async ({ method, path }, params, query, headers, body) => {
          const { status, json } = await world.send({ method, path, params, query, headers, body });
          expect(status).toBeLessThan(500);
          if (status >= 400)
            expect(json).toMatchObject({ error: expect.stringMatching(/Error$/), request_id: 'req-1' });
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('proxy events of API Gateway', () => {
  const { api } = createWorld({ handlers: echoKeys });
  const handler = lambdaHttpHandler(api);
  const event = (more: object) =>
    ({
      httpMethod: 'POST',
      resource: '/keys',
      headers: { Authorization: 'Bearer x', 'Content-Type': 'application/json' },
      pathParameters: null,
      multiValueQueryStringParameters: null,
      body: '{"name":"ci"}',
      isBase64Encoded: false,
      requestContext: { requestId: 'req-aws' },
      ...more,
    }) as never;

  test('are answered by method and resource, under their own request id', async () => {
    const { statusCode, headers, body } = await handler(event({}));
    expect([statusCode, headers?.['x-request-id']]).toEqual([201, 'req-aws']);
    expect(JSON.parse(body)).toMatchObject({ body: { name: 'ci', role: 'editor' }, hasBodyBytes: true });
  });

  test('may carry their body in base64, or none', async () => {
    const base64 = await handler(event({ body: btoa('{"name":"ci"}'), isBase64Encoded: true }));
    expect(base64.statusCode).toBe(201);
    expect((await handler(event({ body: null }))).statusCode).toBe(400);
  });

  test('tell every value of a query name', async () => {
    const get = (query: object) => handler(event({ httpMethod: 'GET', multiValueQueryStringParameters: query }));
    expect((await get({ limit: ['3'] })).statusCode).toBe(200);
    expect((await get({ limit: ['3', '4'] })).statusCode).toBe(400);
  });
});
