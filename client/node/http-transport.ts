import * as http from 'node:http';
import * as https from 'node:https';
import { KIB } from '../../contract/limits.ts';
import { abortedError, MillraceError, networkError } from '../errors.ts';
import type { PartAnswer, PartRequest, Transport } from '../ports.ts';
import { chunksOf } from '../upload/hash.ts';

/** An error document is read so far. */
const MAX_ANSWER_BYTES = 64 * KIB;
/** Progress is told so finely. */
const WRITE_BYTES = 256 * KIB;

/**
 * Sends parts by node:http(s), a chunk at a time: `fetch` sends a stream in chunked encoding, which presigned URLs with a
 * signed length refuse.
 */
export function httpTransport(): Transport {
  const agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': new https.Agent({ keepAlive: true }) };
  return {
    async putPart(part) {
      const url = new URL(part.url);
      const secure = url.protocol === 'https:';
      const request = (secure ? https : http).request(url, {
        method: 'PUT',
        headers: { ...part.headers, 'content-length': part.sizeBytes },
        agent: agents[secure ? 'https:' : 'http:'],
        signal: part.signal,
        timeout: part.stallSeconds * 1_000,
      });
      request.on('timeout', () => request.destroy(new Error(`no bytes moved for ${part.stallSeconds} s`)));
      try {
        return await exchange(request, part);
      } catch (error) {
        if (part.signal.aborted) throw abortedError(part.signal);
        if (error instanceof MillraceError) throw error;
        throw networkError(`cannot send to ${url.host}`, error);
      } finally {
        // Frees the socket of an attempt that ended early; a finished one has given its socket back already.
        request.destroy();
      }
    },
  };
}

async function exchange(request: http.ClientRequest, part: PartRequest): Promise<PartAnswer> {
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    // Stays for the request's life: an error after the answer concerns nobody.
    request.on('error', reject);
  });
  // An answer may come before all bytes are sent, such as 403 for a URL that has expired: then sending stops.
  const sending = sendBody(request, part, answered);
  sending.catch(() => undefined);
  const response = await Promise.race([answered, sending.then(() => answered)]);
  return {
    status: response.statusCode ?? 0,
    text: await readText(response),
    retryAfter: response.headers['retry-after'] ?? null,
  };
}

async function sendBody(request: http.ClientRequest, part: PartRequest, answered: Promise<unknown>): Promise<void> {
  let sent = 0;
  let over = false;
  const stop = () => {
    over = true;
  };
  answered.then(stop, stop);
  for await (const chunk of chunksOf(part.body)) {
    for (let at = 0; at < chunk.byteLength; at += WRITE_BYTES) {
      if (over) return;
      const piece = chunk.subarray(at, at + WRITE_BYTES);
      // Waiting until it is with the kernel bounds memory to one chunk, and lets its buffer be used again.
      await new Promise<void>((resolve, reject) => {
        request.write(piece, (error) => (error ? reject(error) : resolve()));
      });
      sent += piece.byteLength;
      part.onBytes(sent);
    }
  }
  request.end();
}

async function readText(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length <= MAX_ANSWER_BYTES) chunks.push(chunk);
    }
  } catch {
    // A store that refuses early may also cut the connection early: the status is known, and that is what counts.
  }
  return Buffer.concat(chunks).toString('utf8');
}
