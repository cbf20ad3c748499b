import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { LIVE_PROTOCOL } from '../../contract/live.ts';
import { type Context, type Operation, routes } from '../../contract/routes.ts';
import type { Caller, Handlers } from '../../lambdas/runtime/api.ts';
import { createHttpApi } from '../../lambdas/runtime/http.ts';
import { createLog } from '../../lambdas/runtime/log.ts';
import { WsPush } from '../../platform/embedded/ws-push.ts';
import { createRequestListener, type Listening, listen } from '../../server/http.ts';
import { createUpgradeListener } from '../../server/live-socket.ts';
import { LIVE_PATH } from '../../server/platform.ts';

const caller: Caller = {
  tenantId: 'acme' as TenantId,
  principalId: 'key_1',
  role: 'owner',
  scopes: ['uploads:read', 'uploads:write', 'jobs:read', 'jobs:write', 'keys:write'],
  root: false,
};
const UPLOAD = '/uploads/upl_01J00000000000000000000000';
const MIB = 1024 * 1024;

const open: Listening[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

const log = createLog({}, () => {});

async function startServer(
  handlers: Partial<Handlers<Context>> = {},
  {
    onUpgrade,
    ready = Promise.resolve(),
  }: { onUpgrade?: ReturnType<typeof createUpgradeListener>; ready?: Promise<void> } = {},
) {
  const server = await listen({ port: 0, host: '127.0.0.1' });
  const served = {
    listener: createRequestListener({
      api: createHttpApi({ routes, handlers, authenticate: async () => caller, log }),
      objects: async (req, res) => {
        if (req.url?.endsWith('broken')) throw new Error('broken');
        let bytes = 0;
        for await (const chunk of req) bytes += chunk.length;
        res.end(`${req.method} ${req.url} ${bytes}`);
      },
      log,
    }),
    ...(onUpgrade && { onUpgrade }),
  };
  void ready.then(() => server.serve(served));
  open.push(server);
  return server;
}

/** A server of WebSockets as well; `admit` is asked for each. */
async function startLiveServer(admit: () => Promise<void> = async () => {}, ready?: Promise<void>) {
  const push = new WsPush({ protocol: LIVE_PROTOCOL, log });
  const listener = { onMessage: async () => {}, onClose: async () => {} };
  const onUpgrade = createUpgradeListener({ push, open: admit, listener, newId: randomUUID, log });
  return { push, ...(await startServer(health, { onUpgrade, ...(ready && { ready }) })) };
}

const UPGRADE = `GET ${LIVE_PATH} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n`;
const OPEN = `${UPGRADE}sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

const health = { getHealth: async () => ({ status: 200, body: { status: 'ok' as const, version: '1' } }) };
const echo = async (request: object) => ({ status: 200, body: request as never });
const redirect = {
  redirectPart: async ({ hasBodyBytes }: { hasBodyBytes: boolean }) => ({
    status: 307,
    headers: { location: `https://bucket.example/part?body=${hasBodyBytes}` },
  }),
};

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}

async function send(url: string, method: string, path: string, body = '', headers = {}, agent?: Agent) {
  const framing = 'transfer-encoding' in headers ? {} : { 'content-length': Buffer.byteLength(body) };
  const { hostname, port } = new URL(url);
  // The path goes out as it is: a URL would resolve its dots.
  const outgoing = request({ hostname, port, path, method, headers: { ...framing, ...headers }, agent }).end(body);
  const [response]: [IncomingMessage] = (await once(outgoing, 'response')) as never;
  const text = await readText(response);
  return { status: response.statusCode, headers: response.headers, json: text ? JSON.parse(text) : undefined };
}

/** Sends bytes as they are, and tells what came back once the server has closed the connection. */
async function sendRaw(url: string, ...pieces: (string | Uint8Array)[]): Promise<string> {
  const socket = openSocket(url);
  for (const piece of pieces) socket.write(piece);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

function openSocket(url: string, options = {}): Socket {
  return connect({ port: Number(new URL(url).port), host: '127.0.0.1', ...options }).setEncoding('latin1');
}

describe('routes', () => {
  test('paths are matched by the contract, and parameters decoded', async () => {
    const { url } = await startServer({ ...health, redirectPart: echo });
    expect(await send(url, 'GET', '/health?x=1')).toMatchObject({ status: 200, json: { status: 'ok' } });
    const { json } = await send(url, 'PUT', `${UPLOAD}/part/%31%20?checksum_crc64nvme=rosUhgp5mYg%3D`);
    expect(json.params).toEqual({ upload_id: UPLOAD.slice(9), part_number: '1 ' });
    expect(json.query).toEqual({ checksum_crc64nvme: 'rosUhgp5mYg=' });
  });

  test('an unknown path is 404, a wrong method 405 with those that are right', async () => {
    const { url } = await startServer();
    for (const path of [
      '/',
      '/nothing',
      '/uploads/',
      '/uploads//parts',
      '//',
      '/healthz',
      '/../health',
      '/%2e%2e/health',
    ]) {
      expect(await send(url, 'GET', path)).toMatchObject({ status: 404, json: { error: 'RouteNotFoundError' } });
    }
    const { status, headers, json } = await send(url, 'PATCH', UPLOAD);
    expect([status, headers.allow, json.error]).toEqual([405, 'GET, DELETE', 'MethodNotAllowedError']);
    expect((await send(url, 'GET', '/uploads/init')).headers.allow).toBe('POST');
  });

  test('an id that cannot be decoded is an unknown id', async () => {
    const { url } = await startServer({ getUpload: echo });
    for (const id of ['%', '%zz', '%ff', '%c3%28', '%00', '%2f']) {
      expect(await send(url, 'GET', `/uploads/${id}`)).toMatchObject({
        status: 404,
        json: { error: 'UploadNotFoundError' },
      });
    }
  });

  test('every answer has a request id of its own', async () => {
    const { url } = await startServer(health);
    const ids = [
      await send(url, 'GET', '/health'),
      await send(url, 'GET', '/health'),
      await send(url, 'GET', '/nothing'),
    ];
    expect(new Set(ids.map(({ headers }) => headers['x-request-id'])).size).toBe(3);
  });

  test('browsers may ask before they send', async () => {
    const { url } = await startServer();
    const { status, headers } = await send(url, 'OPTIONS', '/uploads/init', '', { origin: 'https://app.example' });
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'authorization, content-type, idempotency-key',
    });
  });

  test('/objects/ belongs to the object store, also after 100 Continue; its failure ends that connection alone', async () => {
    const { url } = await startServer(health);
    expect(await sendRaw(url, 'GET /objects/a%20b?x=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).toMatch(
      /GET \/objects\/a%20b\?x=1 0/,
    );
    const socket = openSocket(url);
    socket.write(
      'PUT /objects/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n',
    );
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 100 Continue/);
    socket.write('abc');
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 200/);
    socket.destroy();
    await expect(send(url, 'GET', '/objects/broken')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect((await send(url, 'GET', '/health')).status).toBe(200);
  });
});

describe('bodies', () => {
  test('come as one piece or many, also after 100 Continue', async () => {
    const { url } = await startServer({ createKey: echo });
    const body = JSON.stringify({ name: 'ci' });
    expect((await send(url, 'POST', '/keys', body)).json.body).toMatchObject({ name: 'ci' });
    const chunked = await send(url, 'POST', '/keys', body, { 'transfer-encoding': 'chunked' });
    expect(chunked.json.body).toMatchObject({ name: 'ci' });
    const waiting = request(`${url}/keys`, { method: 'POST', headers: { expect: '100-continue' } });
    waiting.on('continue', () => waiting.end(body));
    waiting.flushHeaders();
    const [response] = (await once(waiting, 'response')) as [IncomingMessage];
    expect(JSON.parse(await readText(response)).body).toMatchObject({ name: 'ci' });
  });

  test('too large ones are refused before they are buffered, and the client gets the answer', async () => {
    const { url } = await startServer({ createKey: echo });
    const big = Buffer.alloc(16 * MIB);
    const announced = await sendRaw(
      url,
      `POST /keys HTTP/1.1\r\nhost: x\r\ncontent-length: ${big.length}\r\n\r\n`,
      big,
    );
    expect(announced).toMatch(/^HTTP\/1.1 413 .*PayloadTooLargeError/s);
    const chunk = `${big.length.toString(16)}\r\n`;
    const head = 'POST /keys HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n';
    expect(await sendRaw(url, head, chunk, big, '\r\n0\r\n\r\n')).toMatch(/^HTTP\/1.1 413 .*PayloadTooLargeError/s);
  });

  test('a client that leaves in the middle disturbs nobody', async () => {
    const { url } = await startServer({ createKey: echo, ...health });
    const socket = openSocket(url);
    socket.write('POST /keys HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"na');
    await once(socket, 'connect');
    socket.destroy();
    expect((await send(url, 'GET', '/health')).status).toBe(200);
  });
});

describe('PUT of a part', () => {
  test('without a body is redirected, and the connection goes on', async () => {
    const { url } = await startServer(redirect);
    const { status, headers } = await send(url, 'PUT', `${UPLOAD}/part/1`, '', {}, new Agent({ keepAlive: true }));
    expect([status, headers.location, headers.connection]).toEqual([
      307,
      'https://bucket.example/part?body=false',
      'keep-alive',
    ]);
  });

  test('that waits for 100 Continue is redirected before it sends its body', async () => {
    const { url } = await startServer(redirect);
    const head = `PUT ${UPLOAD}/part/1 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5000000000\r\n\r\n`;
    const socket = openSocket(url);
    socket.write(head);
    const [answer] = await once(socket, 'data');
    expect(answer).toMatch(/^HTTP\/1.1 307 /);
    expect(answer).toMatch(/location: .*body=false\r\n/);
    expect(answer).toMatch(/connection: close\r\n/i);
    socket.destroy();
  });

  test('with a large body is answered without reading it all', async () => {
    const { url } = await startServer(redirect);
    const head = `PUT ${UPLOAD}/part/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000000\r\n\r\n`;
    expect(await sendRaw(url, head, Buffer.alloc(32 * MIB))).toMatch(/^HTTP\/1.1 307 .*body=true\r\n/s);
  });
});

describe('the server', () => {
  test('answers malformed requests with 400 and lives on', async () => {
    const { url } = await startServer(health);
    for (const nonsense of [
      'nonsense\r\n\r\n',
      'GET / HTTP/1.1\r\nx y: z\r\n\r\n',
      '\u0016\u0003\u0001\u0000\r\n\r\n',
    ]) {
      expect(await sendRaw(url, nonsense)).toMatch(/^HTTP\/1.1 400 /);
    }
    expect(await sendRaw(url, `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(40_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 /,
    );
    expect((await send(url, 'GET', '/health')).status).toBe(200);
  });

  test('no path, query, header or body makes it fail', async () => {
    const names = Object.keys(routes) as Operation[];
    const handlers: Partial<Handlers<Context>> = Object.fromEntries(
      names.map((name) => [name, async () => ({ status: 200 })]),
    );
    const { url } = await startServer(handlers);
    const agent = new Agent({ keepAlive: true });
    const word = fc.oneof(
      fc.webPath(),
      fc.constantFrom(
        'uploads',
        'init',
        'jobs',
        'keys',
        'files',
        'health',
        'objects',
        '%',
        '%ff',
        '..',
        UPLOAD.slice(9),
      ),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'QUERY'),
        fc.array(word, { maxLength: 4 }).map((words) => `/${words.join('/')}`),
        fc.webQueryParameters(),
        fc.dictionary(
          fc.constantFrom('content-type', 'idempotency-key', 'authorization', 'x-other'),
          fc.string({ unit: 'grapheme-ascii' }),
        ),
        fc.oneof(fc.constant(''), fc.string(), fc.json()),
        async (method, path, query, headers, body) => {
          fc.pre(!path.startsWith('/objects/'));
          const { status, headers: answered } = await send(url, method, `${path}?${query}`, body, headers, agent);
          expect(status).toBeLessThan(500);
          expect(answered['x-request-id']).toBeDefined();
        },
      ),
      { numRuns: 500 },
    );
    agent.destroy();
  });

  test('answers what offers another protocol than WebSocket as if it did not', async () => {
    const { url } = await startLiveServer();
    const h2c = 'connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n';
    const socket = openSocket(url);
    for (const [line, body] of [
      ['GET /health', ''],
      ['PUT /objects/a', 'abc'],
    ] as const) {
      socket.write(`${line} HTTP/1.1\r\nhost: x\r\n${h2c}content-length: ${body.length}\r\n\r\n${body}`);
      expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 200 /);
    }
    socket.destroy();
  });

  test('keeps no socket of a WebSocket that it refuses, though its peer never closes it', async () => {
    const { url } = await startLiveServer(async () => {
      throw new DomainError('UnauthenticatedError', 'there is no credential');
    });
    const socket = openSocket(url, { allowHalfOpen: true });
    socket.write(OPEN);
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 401 .*UnauthenticatedError/s);
    await once(socket, 'end');
    // What is sent to a socket that is gone is answered with a reset.
    const reset = once(socket, 'error');
    const writing = setInterval(() => socket.write('x'), 10);
    await reset.finally(() => clearInterval(writing));
  });

  test('lets requests and WebSockets wait until it is ready', async () => {
    const ready = Promise.withResolvers<void>();
    const { url } = await startLiveServer(undefined, ready.promise);
    const answers: number[] = [];
    const asked = send(url, 'GET', '/health').then(({ status }) => answers.push(status ?? 0));
    const socket = openSocket(url);
    const opened = once(socket, 'data').then(([text]) => answers.push(Number(text.split(' ')[1])));
    socket.write(OPEN);
    // The parser's own answer, to what came after them.
    expect(await sendRaw(url, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
    expect(answers).toEqual([]);
    ready.resolve();
    await Promise.all([asked, opened]);
    expect(answers.sort()).toEqual([101, 200]);
    socket.destroy();
  });

  test('aborts what a handler waits for when its client goes away', async () => {
    const started = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const { url } = await startServer({
      getHealth: async ({ signal }) => {
        signal?.addEventListener('abort', () => aborted.resolve());
        started.resolve();
        await aborted.promise;
        return { status: 200, body: { status: 'ok', version: '1' } };
      },
    });
    const socket = openSocket(url);
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    await started.promise;
    socket.destroy();
    await expect(aborted.promise).resolves.toBeUndefined();
  });

  test('says what to do when its port is busy', async () => {
    const { url } = await startServer();
    const port = Number(new URL(url).port);
    const again = listen({ port, host: '127.0.0.1' });
    await expect(again).rejects.toThrow(`port ${port} is in use: stop what uses it or choose another with --port`);
    await expect(listen({ port: 0, host: '192.0.2.1' })).rejects.toThrow(/--host/);
  });

  test('closes: what runs is answered, idle connections end, new ones are refused', async () => {
    const ended = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const slow = async () => {
      begun.resolve();
      await ended.promise;
      return health.getHealth();
    };
    const server = await startServer({ getHealth: slow, listJobs: echo });
    const agent = () => new Agent({ keepAlive: true });
    await send(server.url, 'GET', '/jobs', '', {}, agent());
    const running = send(server.url, 'GET', '/health', '', {}, agent());
    await begun.promise;
    const started = Date.now();
    const closed = server.close();
    ended.resolve();
    expect((await running).status).toBe(200);
    await closed;
    expect(Date.now() - started).toBeLessThan(4_000);
    await expect(send(server.url, 'GET', '/jobs')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    open.length = 0;
  });

  test('closes its WebSockets, though some are asleep, come again, or are still being let in', async () => {
    const asked = Promise.withResolvers<void>();
    let opened = 0;
    const server = await startLiveServer(async () => {
      opened += 1;
      if (opened < 3) return;
      asked.resolve();
      await new Promise(() => {});
    });
    const asleep = openSocket(server.url);
    asleep.write(OPEN);
    await once(asleep, 'data');
    const comesAgain = openSocket(server.url);
    comesAgain.write(OPEN);
    await once(comesAgain, 'data');
    const waiting = openSocket(server.url);
    waiting.write(OPEN);
    await asked.promise;
    opened = 0;
    const again = once(comesAgain, 'data').then(async () => {
      const socket = openSocket(server.url);
      socket.write(OPEN);
      return String(await once(socket, 'data'));
    });
    const started = Date.now();
    await server.push.stop();
    expect(await again).toMatch(/^HTTP\/1.1 503 /);
    await server.close();
    expect(Date.now() - started).toBeLessThan(4_000);
    open.length = 0;
  });
});
