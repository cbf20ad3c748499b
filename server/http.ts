import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { DomainError } from '../contract/errors.ts';
import { MAX_BODY_BYTES } from '../contract/limits.ts';
import { routes } from '../contract/routes.ts';
import { errorResponse, type HttpApi, type RawResponse } from '../lambdas/runtime/http.ts';
import { bodyTooLarge } from '../lambdas/runtime/json-body.ts';
import type { Log } from '../lambdas/runtime/log.ts';
import { validationError } from '../lambdas/runtime/validation.ts';
import { SetupError } from './data-folder.ts';

/** A connection on which no byte moves for this long is closed; a long poll takes 20 s. */
const IDLE_MS = 120_000;
/** How long a body that nobody wants is discarded before its connection is closed. */
const LINGER_MS = 2_000;
/** How long requests may take to end when the server closes. */
const CLOSE_MS = 5_000;

interface PathMatch {
  readonly template: string;
  readonly params: Readonly<Record<string, string>>;
  readonly methods: readonly string[];
}

/** Serves the API by the contract's routes, and `/objects/…` by the object store's own handler. */
export function createRequestListener({
  api,
  objects,
  log,
}: {
  api: HttpApi;
  objects: (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  log: Log;
}): RequestListener {
  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { path, search } = splitUrl(req.url ?? '');
    if (path.startsWith('/objects/')) {
      if (expectsContinue(req)) res.writeContinue();
      await objects(req, res);
      return;
    }
    send(req, res, await answer(req, res, path, search));
  }

  async function answer(req: IncomingMessage, res: ServerResponse, path: string, search: string): Promise<RawResponse> {
    const requestId = randomUUID();
    const method = req.method ?? '';
    const match = matchPath(path);
    if (!match) {
      return errorResponse(new DomainError('RouteNotFoundError', 'the path does not exist'), requestId);
    }
    if (method === 'OPTIONS') return preflight(match.methods, requestId);
    if (!match.methods.includes(method)) {
      const allow = match.methods.join(', ');
      return errorResponse(new DomainError('MethodNotAllowedError', `the path supports only ${allow}`), requestId, {
        allow,
      });
    }
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    return api({
      method,
      path: match.template,
      params: match.params,
      query: readQuery(search),
      headers: singleHeaders(req),
      // A client that waits for 100 Continue has sent nothing yet.
      hasBodyBytes: announcesBody(req) && !expectsContinue(req),
      readBody: () => readBody(req, res),
      requestId,
      signal: gone.signal,
    });
  }

  return (req, res) => {
    handle(req, res).catch((error: unknown) => {
      log.error('a request could not be answered', { error });
      res.destroy();
    });
  };
}

const templates = groupByPath();

function groupByPath(): readonly { template: string; segments: readonly string[]; methods: readonly string[] }[] {
  const methods = new Map<string, string[]>();
  for (const { method, path } of Object.values(routes)) methods.set(path, [...(methods.get(path) ?? []), method]);
  return (
    [...methods]
      .map(([template, methods]) => ({ template, segments: template.split('/'), methods }))
      // As in API Gateway, a path without parameters goes first: /uploads/init is no upload's id.
      .sort((a, b) => Number(a.template.includes('{')) - Number(b.template.includes('{')))
  );
}

function matchPath(path: string): PathMatch | undefined {
  const given = path.split('/');
  const found = templates.find(
    ({ segments }) =>
      segments.length === given.length &&
      segments.every((segment, at) => (isParameter(segment) ? given[at] !== '' : segment === given[at])),
  );
  if (!found) return undefined;
  const params = found.segments.flatMap((segment, at) =>
    isParameter(segment) ? [[segment.slice(1, -1), decode(given[at] ?? '')]] : [],
  );
  return { template: found.template, methods: found.methods, params: Object.fromEntries(params) };
}

function isParameter(segment: string): boolean {
  return segment.startsWith('{');
}

/** What cannot be decoded stays as it is: no id looks like that. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function splitUrl(url: string): { path: string; search: string } {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, search: '' } : { path: url.slice(0, mark), search: url.slice(mark + 1) };
}

function readQuery(search: string): Record<string, string[]> {
  const query: Record<string, string[]> = Object.create(null);
  for (const [name, value] of new URLSearchParams(search)) query[name] = [...(query[name] ?? []), value];
  return query;
}

/** Node joins repeated headers, all but set-cookie, which a request has no use for. */
function singleHeaders(req: IncomingMessage): Record<string, string | undefined> {
  return { ...req.headers, 'set-cookie': undefined };
}

function expectsContinue(req: IncomingMessage): boolean {
  return /^100-continue$/i.test(req.headers.expect ?? '');
}

function announcesBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

async function readBody(req: IncomingMessage, res: ServerResponse): Promise<Uint8Array> {
  if (Number(req.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw bodyTooLarge();
  if (expectsContinue(req)) res.writeContinue();
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // The request outlives a loop that is left early: its connection still carries the answer.
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) break;
    }
  } catch {
    throw validationError([{ field: 'body', problem: 'ended before its content-length' }]);
  }
  if (bytes > MAX_BODY_BYTES) throw bodyTooLarge();
  return Buffer.concat(chunks);
}

function preflight(methods: readonly string[], requestId: string): RawResponse {
  return {
    status: 204,
    headers: {
      'x-request-id': requestId,
      'access-control-allow-origin': '*',
      'access-control-allow-methods': methods.join(', '),
      'access-control-allow-headers': 'authorization, content-type, idempotency-key',
      'access-control-max-age': '7200',
    },
    body: '',
  };
}

function send(req: IncomingMessage, res: ServerResponse, { status, headers, body }: RawResponse): void {
  const bodyUnread = announcesBody(req) && !req.complete;
  res.writeHead(status, {
    ...headers,
    ...(status === 204 ? {} : { 'content-length': Buffer.byteLength(body) }),
    ...(bodyUnread ? { connection: 'close' } : {}),
  });
  if (!bodyUnread) {
    res.end(body);
    return;
  }
  // To close a connection with unread bytes resets it, and the client may lose the answer: so the answer goes first,
  // and what still comes is discarded.
  if (body === '') res.flushHeaders();
  else res.write(body);
  const timer = setTimeout(() => res.end(), LINGER_MS);
  const end = () => {
    clearTimeout(timer);
    res.end();
  };
  req.once('end', end).once('close', end).resume();
}

/** What answers requests, and requests for WebSockets. */
interface Served {
  readonly listener: RequestListener;
  readonly onUpgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export interface Listening {
  /** Such as `http://127.0.0.1:4780`. */
  readonly url: string;
  /** Answers requests from now on; what came before has waited. */
  serve(served: Served): void;
  /** Takes no new requests, lets those under way end for a while, and closes every connection, WebSockets at once. */
  close(): Promise<void>;
}

/** Listens on a port, 0 for any free one; `SetupError` says what to do when it cannot. */
export async function listen({ port, host }: { port: number; host: string }): Promise<Listening> {
  const { promise: served, resolve: serve } = Promise.withResolvers<Served>();
  let takesUpgrades = true;
  const whenServed: RequestListener = (req, res) => void served.then(({ listener }) => listener(req, res));
  const server = createServer(
    {
      // A part of 5 GiB takes as long as it takes: what ends a request is that nothing moves.
      requestTimeout: 0,
      // Clients that would rather speak HTTP/2 ask with each request, and are answered as they asked.
      shouldUpgradeCallback: ({ headers }) => takesUpgrades && /^websocket$/i.test(headers.upgrade ?? ''),
    },
    whenServed,
  ).on('checkContinue', whenServed);
  // Node lets go of them.
  const upgraded = new Set<Duplex>();
  server.on('upgrade', (request, socket, head) => {
    const destroy = () => socket.destroy();
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
    // The server's timeout is theirs as well, until a WebSocket has pings of its own.
    socket.on('error', destroy).on('timeout', destroy);
    void served.then(({ onUpgrade = destroy }) => onUpgrade(request, socket, head));
  });
  server.setTimeout(IDLE_MS);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(error, port, host)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    serve: (given) => {
      takesUpgrades = given.onUpgrade !== undefined;
      serve(given);
    },
    close: async () => {
      // Node closes the connections that are idle now, but not those that become so after an answer.
      const idle = setInterval(() => server.closeIdleConnections(), 50);
      const all = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of upgraded) socket.destroy();
      await closed;
      clearInterval(idle);
      clearTimeout(all);
    },
  };
}

function cannotListen(error: NodeJS.ErrnoException, port: number, host: string): Error {
  if (error.code === 'EADDRINUSE') {
    return new SetupError(`port ${port} is in use: stop what uses it or choose another with --port`);
  }
  if (error.code === 'EACCES') {
    return new SetupError(`port ${port} is not for ordinary users: choose one from 1024 on with --port`);
  }
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') {
    return new SetupError(`${host} is not an address of this machine: choose another with --host`);
  }
  return error;
}
