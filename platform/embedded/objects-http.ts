import type { IncomingMessage, ServerResponse } from 'node:http';
import { finished, pipeline } from 'node:stream/promises';
import { DomainError } from '../../contract/errors.ts';
import { attachment } from '../ports/content-disposition.ts';
import type { FileObjectStore } from './file-object-store.ts';
import type { Grant } from './object-urls.ts';

/** S3's codes and statuses, so that a client treats both stores alike. */
const REFUSALS = {
  AccessDenied: [403, 'Request has expired'],
  SignatureDoesNotMatch: [403, 'The URL is not signed for this method, length, checksum and address.'],
  MethodNotAllowed: [405, 'The method is not allowed.'],
  MissingContentLength: [411, 'The Content-Length header is required.'],
  NoSuchUpload: [404, 'There is no such upload: it was completed or aborted.'],
  NoSuchKey: [404, 'There is no such object.'],
  IncompleteBody: [400, 'The body is shorter than its Content-Length.'],
  BadDigest: [400, 'The CRC64NVME of the body differs from the one signed.'],
  InvalidRequest: [400, 'The upload was created with checksums: every part needs one.'],
  InvalidRange: [416, 'The range begins after the end of the object.'],
  SlowDown: [503, 'The store is busy; try again.'],
  InternalError: [500, 'The store failed.'],
} as const;
type Refusal = keyof typeof REFUSALS;

const CORS_HEADERS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers':
    'ETag, Content-Length, Content-Range, Content-Disposition, Accept-Ranges, x-amz-checksum-crc64nvme',
};

const PREFLIGHT_HEADERS = {
  'Access-Control-Allow-Methods': 'GET, HEAD, PUT',
  'Access-Control-Allow-Headers': '*',
  'Access-Control-Max-Age': '3600',
};

/** Whatever a file holds, a browser neither guesses its type nor runs it under our origin. */
const DOWNLOAD_HEADERS = {
  'Accept-Ranges': 'bytes',
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; sandbox",
};

/**
 * Serves the URLs that a store signed. Needs no other credential and looks at none. Rejects, after answering 500, when
 * the store itself fails: that is for the caller's log.
 */
export function objectsHttpHandler(
  store: FileObjectStore,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    for (const [name, value] of Object.entries(CORS_HEADERS)) response.setHeader(name, value);
    try {
      await serve(store, request, response);
    } catch (error) {
      // The client went away: there is nobody to tell, and nothing was stored.
      if (request.destroyed && !request.complete) return;
      if (response.headersSent) {
        response.destroy();
        if (isClosedEarly(error)) return;
        throw error;
      }
      const busy = error instanceof DomainError && error.code === 'ServiceBusyError';
      refuse(request, response, busy ? 'SlowDown' : 'InternalError');
      if (busy) return;
      await finished(response).catch(() => {}); // A caller that closes the connection then must not cut the answer off.
      throw error;
    }
  };
}

async function serve(store: FileObjectStore, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url = '/', headers } = request;
  if (method === 'OPTIONS') {
    response.writeHead(204, PREFLIGHT_HEADERS).end();
    return;
  }
  if (!['GET', 'HEAD', 'PUT'].includes(method)) return refuse(request, response, 'MethodNotAllowed');
  const contentLength = headers['content-length'];
  if (method === 'PUT' && contentLength === undefined) return refuse(request, response, 'MissingContentLength');
  const checksum = [headers['x-amz-checksum-crc64nvme'] ?? ''].flat().join();
  const grant = store.urls.verify({ method, url, contentLength: contentLength ?? '', checksum });
  if (grant === 'not_signed') return refuse(request, response, 'SignatureDoesNotMatch');
  if (grant === 'expired') return refuse(request, response, 'AccessDenied');
  if (grant.kind === 'get') return sendObject(store, grant, request, response);
  const refusal = await receivePart(store, { ...grant, sizeBytes: Number(contentLength), checksum }, request, response);
  if (refusal) refuse(request, response, refusal);
}

async function receivePart(
  store: FileObjectStore,
  part: Extract<Grant, { kind: 'part' }> & { sizeBytes: number; checksum: string },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Refusal | undefined> {
  const { key, multipartId, partNumber, sizeBytes, checksum } = part;
  const checksumCrc64Nvme = checksum === '' ? {} : { checksumCrc64Nvme: checksum };
  // The connection outlives a body that is not read to its end: it still carries the answer.
  const body = request.iterator({ destroyOnReturn: false });
  const received = await store.receivePart({ key, multipartId, partNumber, sizeBytes, ...checksumCrc64Nvme }, body);
  switch (received.outcome) {
    case 'missing':
      return 'NoSuchUpload';
    case 'incomplete':
      return 'IncompleteBody';
    case 'bad_digest':
      return 'BadDigest';
    case 'checksum_required':
      return 'InvalidRequest';
    case 'stored':
      response
        .writeHead(200, {
          ETag: received.etag,
          'x-amz-checksum-crc64nvme': received.checksumCrc64Nvme,
          'Content-Length': 0,
        })
        .end();
      return undefined;
  }
}

async function sendObject(
  store: FileObjectStore,
  { key, fileName }: { key: string; fileName: string },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const object = store.find(key);
  if (!object) return refuse(request, response, 'NoSuchKey');
  const ifRange = request.headers['if-range'];
  const asked = ifRange === undefined || ifRange === object.etag ? request.headers.range : undefined;
  const range = parseRange(asked, object.sizeBytes);
  if (range === 'unsatisfiable') {
    response.setHeader('Content-Range', `bytes */${object.sizeBytes}`);
    return refuse(request, response, 'InvalidRange');
  }
  const { start, end } = range ?? { start: 0, end: object.sizeBytes };
  response.writeHead(range ? 206 : 200, {
    ...DOWNLOAD_HEADERS,
    'Content-Type': object.contentType,
    'Content-Length': end - start,
    'Content-Disposition': attachment(fileName),
    ETag: object.etag,
    'Last-Modified': object.lastModified.toUTCString(),
    ...(range ? { 'Content-Range': `bytes ${start}-${end - 1}/${object.sizeBytes}` } : {}),
  });
  if (request.method === 'HEAD') response.end();
  else await pipeline(store.bytesOf(object, start, end), response);
}

/** One range of bytes (RFC 9110, 14.1.2), `end` exclusive. Like S3, ignores what is not one, several ranges included. */
function parseRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1], match[2]].map((digits) => (digits === '' ? undefined : Number(digits)));
  const start = first ?? Math.max(0, size - (last ?? 0));
  const end = first === undefined || last === undefined ? size : Math.min(size, last + 1);
  if (first !== undefined && last !== undefined && last < first) return undefined;
  return start < end ? { start, end } : 'unsatisfiable';
}

/** The rest of a body is discarded by Node, so that the client reads the answer instead of a reset connection. */
function refuse(request: IncomingMessage, response: ServerResponse, code: Refusal): void {
  const [status, message] = REFUSALS[code];
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  response
    .writeHead(status, { 'Content-Type': 'application/xml', 'Content-Length': Buffer.byteLength(body) })
    .end(request.method === 'HEAD' ? undefined : body);
}

function isClosedEarly(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
}
