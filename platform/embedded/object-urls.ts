import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../ports/clock.ts';
import type { MultipartKey, PartToSign } from '../ports/object-store.ts';

/** Path of every URL; the object's key follows in base64url, so that no part of it can mean anything in a path. */
const PATH = '/objects/';

/** What a request may do, by its URL. */
export type Grant =
  | ({ readonly kind: 'part'; readonly partNumber: number } & MultipartKey)
  | { readonly kind: 'get'; readonly key: string; readonly fileName: string };

interface UrlRequest {
  readonly method: string;
  readonly url: string;
  readonly contentLength: string;
  readonly checksum: string;
}

/**
 * Presigned URLs as S3 has them: the signature covers the method, the key, what is asked of it and the expiry, and for
 * a part also the request's `content-length` and `x-amz-checksum-crc64nvme`, which therefore must be the ones signed.
 */
export class ObjectUrls {
  readonly #baseUrl: string | (() => string);
  readonly #signingKey: Uint8Array;
  readonly #clock: Clock;

  constructor(options: { baseUrl: string | (() => string); signingKey: Uint8Array; clock: Clock }) {
    this.#baseUrl = options.baseUrl;
    this.#signingKey = options.signingKey;
    this.#clock = options.clock;
  }

  signPart(part: MultipartKey & PartToSign, expiresAt: Date): string {
    const { key, multipartId: upload, sizeBytes, checksumCrc64Nvme: checksum = '' } = part;
    const query = { upload, part: String(part.partNumber), expires: String(expiresAt.getTime()) };
    return this.#url(key, query, ['PUT', key, query.upload, query.part, String(sizeBytes), checksum, query.expires]);
  }

  signGet(object: { key: string; fileName: string }, expiresAt: Date): string {
    const query = { name: object.fileName.toWellFormed(), expires: String(expiresAt.getTime()) };
    return this.#url(object.key, query, ['GET', object.key, query.name, query.expires]);
  }

  /** What a request may do; HEAD counts as GET. */
  verify({ method, url, contentLength, checksum }: UrlRequest): Grant | 'expired' | 'not_signed' {
    const parsed = URL.parse(url, 'http://localhost');
    if (!parsed) return 'not_signed';
    const { pathname, searchParams } = parsed;
    const key = Buffer.from(pathname.slice(pathname.lastIndexOf('/') + 1), 'base64url').toString();
    const [upload, part, name, expires, signature] = ['upload', 'part', 'name', 'expires', 'signature'].map(
      (field) => searchParams.get(field) ?? '',
    ) as [string, string, string, string, string];
    const signed =
      method === 'PUT'
        ? ['PUT', key, upload, part, contentLength, checksum, expires]
        : [method === 'HEAD' ? 'GET' : method, key, name, expires];
    if (!isSame(signature, this.#sign(signed))) return 'not_signed';
    if (this.#clock.now().getTime() >= Number(expires)) return 'expired';
    return method === 'PUT'
      ? { kind: 'part', key, multipartId: upload, partNumber: Number(part) }
      : { kind: 'get', key, fileName: name };
  }

  #url(key: string, query: Record<string, string>, signed: readonly string[]): string {
    const base = typeof this.#baseUrl === 'string' ? this.#baseUrl : this.#baseUrl();
    const signature = this.#sign(signed);
    return `${base}${PATH}${Buffer.from(key).toString('base64url')}?${new URLSearchParams({ ...query, signature })}`;
  }

  #sign(fields: readonly string[]): string {
    return createHmac('sha256', this.#signingKey).update(JSON.stringify(fields)).digest('base64url');
  }
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
