import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ulid } from 'ulid';
import { combineCrc64Nvme, createCrc64Nvme } from '../../contract/crc64nvme.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import { ERRORS } from '../../contract/errors.ts';
import { choosePartSize, countParts, partRange } from '../../contract/part-plan.ts';
import { routes } from '../../contract/routes.ts';
import type { InitUpload } from '../../contract/uploads.ts';

/**
 * What happens to one request instead of its answer: another status, a cut connection before or after it was carried
 * out, a flipped bit on the way, silence, or what a function does and says.
 */
type PlainFault =
  | { status: number; code?: string; headers?: Record<string, string> }
  | 'cut'
  | 'lose answer'
  | 'flip bit'
  | 'silence';
type Fault = PlainFault | (() => PlainFault | undefined | Promise<PlainFault | undefined>);

interface StoredPart {
  checksum: string;
  bytes: Buffer;
}

interface Session {
  id: string;
  init: InitUpload;
  partSize: number;
  state: 'open' | 'completing' | 'completed' | 'rejected' | 'aborted';
  parts: Map<number, StoredPart>;
  fileId?: string;
  checksum?: string;
}

/** Plays the API's and the object store's side of the protocol, and keeps a trace of what the client did. */
export interface ScriptedServer {
  readonly url: string;
  /** One line a request: `init`, `sign 1-16`, `put 3 200`, `get upload`, `complete`, … */
  readonly trace: string[];
  /** Faults by the begin of a trace line (`put 3`, `complete`), used up one by one. */
  readonly faults: Record<string, Fault[]>;
  readonly sessions: Map<string, Session>;
  /** Connections that were opened for parts and calls. */
  connections: number;
  /** How many polls a completion takes; 0 answers with the file at once. */
  completionPolls: number;
  /** How long URLs of parts are said to last. */
  urlSeconds: number;
  /** Answers of other routes by `METHOD /path`; the query is left to the function. */
  readonly answers: Record<string, (url: URL, body: unknown) => { status?: number; body?: unknown } | 'cut'>;
  /** The bytes of a completed file. */
  bytesOf(fileId: string): Buffer;
  close(): Promise<void>;
}

export const TEST_KEY = 'mr_test_key';

/** `partSizeBytes` makes small files have many parts; without `keepBytes` only checksums are kept. */
export async function startScriptedServer({
  partSizeBytes,
  keepBytes = true,
}: {
  partSizeBytes?: number;
  keepBytes?: boolean;
} = {}): Promise<ScriptedServer> {
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });
  const world: ScriptedServer = {
    url: '',
    trace: [],
    faults: {},
    sessions: new Map(),
    connections: 0,
    completionPolls: 0,
    urlSeconds: 900,
    answers: {},
    bytesOf: (fileId) => {
      const session = sessionOfFile(fileId);
      return Buffer.concat([...session.parts].sort(([a], [b]) => a - b).map(([, part]) => part.bytes));
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  server.on('connection', (_socket: Socket) => {
    world.connections += 1;
  });

  function sessionOfFile(fileId: string): Session {
    const session = [...world.sessions.values()].find((candidate) => candidate.fileId === fileId);
    if (!session) throw new Error(`no file ${fileId}`);
    return session;
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', world.url);
    const body = url.pathname.startsWith('/objects/') ? undefined : await readJson(request);
    const line = describe(request.method ?? '', url, body);
    const taken = takeFault(line);
    world.trace.push(line);
    const note = (status: number) => {
      const index = world.trace.lastIndexOf(line);
      if (line.startsWith('put ') && index >= 0) world.trace[index] = `${line} ${status}`;
    };
    const fault = typeof taken === 'function' ? await taken() : taken;
    if (fault === 'silence') return;
    if (fault === 'cut') return void request.socket.destroy();
    if (typeof fault === 'object') {
      note(fault.status);
      response.writeHead(fault.status, { 'content-type': 'application/xml', ...fault.headers });
      const isApi = body !== undefined || request.method === 'GET' || !line.startsWith('put ');
      response.end(isApi && fault.code ? JSON.stringify(errorBody(fault.code)) : storeError(fault.code ?? 'Fault'));
      return;
    }
    const answer = await answerTo(request, url, body, fault === 'flip bit');
    note(answer.status);
    if (fault === 'lose answer') return void request.socket.destroy();
    response.writeHead(answer.status, answer.headers);
    response.end(answer.body);
  }

  function takeFault(line: string): Fault | undefined {
    for (const [prefix, list] of Object.entries(world.faults)) {
      if (line === prefix || line.startsWith(`${prefix} `)) return list.shift();
    }
    return undefined;
  }

  async function answerTo(request: IncomingMessage, url: URL, body: unknown, flip: boolean): Promise<Answer> {
    if (url.pathname.startsWith('/objects/')) {
      return request.method === 'PUT' ? putPart(request, url, flip) : getObject(request, url);
    }
    if (request.headers.authorization !== `Bearer ${TEST_KEY}`) return failure('UnauthenticatedError');
    const scripted = world.answers[`${request.method} ${url.pathname}`];
    if (scripted) {
      const answer = scripted(url, body);
      if (answer === 'cut') {
        request.socket.destroy();
        return json(500, {});
      }
      return json(answer.status ?? 200, answer.body);
    }
    const [, resource, id = '', action] = url.pathname.split('/');
    if (resource === 'files') return id && sessionFor(id) ? fileAnswer(id, action) : failure('FileNotFoundError');
    if (resource !== 'uploads') return failure('RouteNotFoundError');
    if (id === 'init') return init(routes.initUpload.body.parse(body));
    const session = world.sessions.get(id);
    if (!session) return failure('UploadNotFoundError');
    if (action === 'parts') return sign(session, routes.signParts.body.parse(body).parts);
    if (action === 'complete') return complete(session, routes.completeUpload.body.parse(body).checksum_crc64nvme);
    if (request.method === 'DELETE') session.state = 'aborted';
    else if (session.state === 'completing' && --world.completionPolls <= 0) session.state = 'completed';
    return json(200, uploadBody(session, url.searchParams.get('include') === 'parts'));
  }

  const sessionFor = (fileId: string) => [...world.sessions.values()].some((session) => session.fileId === fileId);

  function fileAnswer(fileId: string, action: string | undefined): Answer {
    if (action !== 'download') return json(200, fileBody(sessionOfFile(fileId)));
    return json(200, { url: `${world.url}/objects/${fileId}`, expires_at: inSeconds(900) });
  }

  function init(input: InitUpload): Answer {
    const open = [...world.sessions.values()].find(
      (session) => input.resume && session.state === 'open' && session.init.fingerprint === input.fingerprint,
    );
    const session: Session = open ?? {
      id: `upl_${ulid()}`,
      init: input,
      partSize: partSizeBytes ?? input.part_size_bytes ?? choosePartSize(input.size_bytes),
      state: 'open',
      parts: new Map(),
    };
    world.sessions.set(session.id, session);
    const parts = signedParts(session, input.parts ?? []);
    return json(open ? 200 : 201, { upload: uploadBody(session, false), parts });
  }

  function sign(session: Session, parts: NonNullable<InitUpload['parts']>): Answer {
    if (session.state !== 'open') return failure('UploadNotOpenError');
    return json(200, { parts: signedParts(session, parts) });
  }

  function signedParts(session: Session, parts: NonNullable<InitUpload['parts']>) {
    return parts.map(({ part_number, checksum_crc64nvme: checksum }) => ({
      part_number,
      size_bytes: sizeOf(session, part_number),
      url: `${world.url}/objects/${session.id}/${part_number}`,
      headers: checksum ? { 'x-amz-checksum-crc64nvme': checksum } : {},
      expires_at: inSeconds(world.urlSeconds),
    }));
  }

  function sizeOf(session: Session, partNumber: number): number {
    const { start, end } = partRange(session.init.size_bytes, session.partSize, partNumber);
    return end - start;
  }

  async function putPart(request: IncomingMessage, url: URL, flip: boolean): Promise<Answer> {
    const [, , id = '', number = ''] = url.pathname.split('/');
    const session = world.sessions.get(id);
    const hash = await createCrc64Nvme();
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (flip && size === 0) chunk.writeUInt8(chunk.readUInt8(0) ^ 1, 0);
      hash.update(chunk);
      size += chunk.length;
      if (keepBytes) chunks.push(Buffer.from(chunk));
    }
    if (session?.state !== 'open') return storeFailure(404, 'NoSuchUpload');
    if (
      request.headers['content-length'] !== String(sizeOf(session, Number(number))) ||
      request.headers.authorization
    ) {
      return storeFailure(403, 'SignatureDoesNotMatch');
    }
    const declared = request.headers['x-amz-checksum-crc64nvme'];
    const checksum = hash.digestBase64();
    if (session.init.integrity === 'parts' && declared !== checksum) return storeFailure(400, 'BadDigest');
    session.parts.set(Number(number), { checksum, bytes: Buffer.concat(chunks) });
    return { status: 200, headers: { etag: `"${number}"` }, body: '' };
  }

  function getObject(request: IncomingMessage, url: URL): Answer {
    const bytes = world.bytesOf(url.pathname.split('/')[2] ?? '');
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    return { status: start > 0 ? 206 : 200, headers: {}, body: bytes.subarray(start) };
  }

  function complete(session: Session, checksum: string | undefined): Answer {
    if (session.state === 'completed') {
      return json(200, { upload: uploadBody(session, false), file: fileBody(session) });
    }
    if (session.state !== 'open') return failure('UploadNotOpenError');
    const count = countParts(session.init.size_bytes, session.partSize);
    let whole: string | undefined;
    for (let partNumber = 1; partNumber <= count; partNumber++) {
      const part = session.parts.get(partNumber);
      if (!part) return failure('PartsMissingError');
      const size = sizeOf(session, partNumber);
      whole = whole === undefined ? part.checksum : combineCrc64Nvme(whole, part.checksum, size);
    }
    if (checksum !== undefined && checksum !== whole) {
      // Without the parts' checksums it shows when the object is made.
      if (session.init.integrity === 'whole') session.state = 'rejected';
      return failure('ChecksumMismatchError');
    }
    session.checksum = whole ?? '';
    session.fileId = `file_${ulid()}`;
    session.state = world.completionPolls > 0 ? 'completing' : 'completed';
    const upload = uploadBody(session, false);
    return session.state === 'completed' ? json(200, { upload, file: fileBody(session) }) : json(202, { upload });
  }

  function uploadBody(session: Session, includeParts: boolean) {
    const part_count = countParts(session.init.size_bytes, session.partSize);
    const numbers = [...session.parts.keys()].sort((a, b) => a - b);
    const received_bytes = numbers.reduce((sum, number) => sum + sizeOf(session, number), 0);
    return {
      id: session.id,
      state: session.state,
      name: session.init.name,
      size_bytes: session.init.size_bytes,
      content_type: session.init.content_type,
      integrity: session.init.integrity,
      part_size_bytes: session.partSize,
      part_count,
      created_at: new Date().toISOString(),
      expires_at: inSeconds(7 * 86_400),
      ...(session.fileId && { file_id: session.fileId }),
      progress: {
        received_bytes,
        received_parts: numbers.length,
        percent: Math.floor((100 * received_bytes) / session.init.size_bytes),
        received: numbers.map((number) => ({ first: number, last: number })),
        missing: [],
      },
      ...(includeParts && {
        parts: numbers.map((number) => ({
          part_number: number,
          size_bytes: sizeOf(session, number),
          ...(session.init.integrity === 'parts' && { checksum_crc64nvme: session.parts.get(number)?.checksum }),
        })),
      }),
    };
  }

  function fileBody(session: Session) {
    const size_bytes = session.init.size_bytes;
    return {
      id: session.fileId,
      upload_id: session.id,
      name: session.init.name,
      size_bytes,
      content_type: session.init.content_type,
      created_at: new Date().toISOString(),
      receipt: {
        size_bytes,
        checksum_crc64nvme: session.checksum,
        parts: session.parts.size,
        part_size_bytes: session.partSize,
        verified_at: new Date().toISOString(),
      },
    };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  Object.assign(world, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  return world;
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string | Buffer;
}

function describe(method: string, url: URL, body: unknown): string {
  const [, resource, id = '', action] = url.pathname.split('/');
  if (resource === 'objects') return method === 'PUT' ? `put ${action}` : 'get bytes';
  if (resource !== 'uploads') return `${method} ${url.pathname}`;
  if (id === 'init') return 'init';
  if (action === 'complete') return 'complete';
  if (action !== 'parts') return `${method.toLowerCase()} upload`;
  const numbers = (body as { parts: { part_number: number }[] }).parts.map((part) => part.part_number);
  return numbers.length === 1 ? `sign ${numbers[0]}` : `sign ${numbers[0]}-${numbers.at(-1)}`;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
}

function json(status: number, body: unknown): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? '' : JSON.stringify(body),
  };
}

function errorBody(code: string) {
  return { error: code, message: `played: ${code}`, details: {}, request_id: 'req-1' };
}

function failure(code: ErrorCode): Answer {
  return json(ERRORS[code].status, errorBody(code));
}

function storeError(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>played</Message></Error>`;
}

function storeFailure(status: number, code: string): Answer {
  return { status, headers: { 'content-type': 'application/xml' }, body: storeError(code) };
}

function inSeconds(seconds: number): string {
  return new Date(Date.now() + seconds * 1_000).toISOString();
}
