import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { combineCrc64Nvme, crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIN_PART_SIZE_BYTES } from '../../contract/limits.ts';
import type { MultipartKey, ObjectStore, PartToSign, StoredPart } from '../../platform/ports/object-store.ts';
import { createS3TestObjectStore, createTestObjectStore, type TestObjectStore } from '../support/object-stores.ts';

const localstack = process.env.LOCALSTACK_ENDPOINT;
const platforms: [string, () => Promise<TestObjectStore>][] = [['embedded', () => createTestObjectStore()]];
if (localstack) platforms.push(['aws', () => createS3TestObjectStore(localstack)]);

/** A part of the least size that may be followed by another. */
const large = randomBytes(MIN_PART_SIZE_BYTES);
const small = randomBytes(1_000);

describe.each(platforms)('object store: %s', (_platform, create) => {
  let store: ObjectStore;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ store, close } = await create());
  });
  afterAll(() => close());

  const newKey = () => `tenants/t1/${randomBytes(8).toString('hex')}`;

  async function begin(options: { checksums?: boolean; key?: string } = {}): Promise<MultipartKey> {
    const { key = newKey(), checksums = true } = options;
    return { key, ...(await store.createMultipart({ key, contentType: 'text/csv', checksums })) };
  }

  async function sign(upload: MultipartKey, part: PartToSign, expiresInSeconds = 60) {
    const [signed] = await store.signParts({ ...upload, expiresInSeconds, parts: [part] });
    if (!signed) throw new Error('nothing was signed');
    return signed;
  }

  const describePart = async (partNumber: number, body: Uint8Array): Promise<PartToSign> => ({
    partNumber,
    sizeBytes: body.length,
    checksumCrc64Nvme: await crc64Nvme(body),
  });

  async function send(upload: MultipartKey, partNumber: number, body: Uint8Array, options = { checksum: true }) {
    const { checksumCrc64Nvme, ...part } = await describePart(partNumber, body);
    const { url, headers } = await sign(upload, options.checksum ? { ...part, checksumCrc64Nvme } : part);
    const response = await fetch(url, { method: 'PUT', body: body as BodyInit, headers });
    expect(response.status).toBe(200);
    expect(response.headers.get('etag')).toBeTruthy();
  }

  async function partsOf(upload: MultipartKey): Promise<readonly StoredPart[]> {
    const parts = await store.listParts(upload);
    if (!parts) throw new Error('there is no such upload');
    return parts;
  }

  async function complete(upload: MultipartKey, checksumCrc64Nvme?: string) {
    const parts = await partsOf(upload);
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
    return store.completeMultipart({
      ...upload,
      parts,
      sizeBytes,
      ...(checksumCrc64Nvme ? { checksumCrc64Nvme } : {}),
    });
  }

  async function readAll(key: string, range?: { start: number; end?: number }): Promise<Buffer> {
    return Buffer.from(await new Response(await store.read(key, range)).arrayBuffer());
  }

  const put = (key: string, body: Uint8Array, more: { unlessExists?: boolean } = {}) =>
    store.put({ key, body, contentType: 'text/plain', ...more });

  async function refusalOf(response: Response): Promise<{ status: number; code: string | undefined }> {
    return { status: response.status, code: /<Code>(\w+)<\/Code>/.exec(await response.text())?.[1] };
  }

  describe('multipart uploads', () => {
    it('makes an object of parts sent in any order, with the checksum of the whole', async () => {
      const upload = await begin();
      await send(upload, 3, small);
      await send(upload, 1, large);
      await send(upload, 2, large);
      const whole = Buffer.concat([large, large, small]);
      expect(await partsOf(upload)).toEqual([
        { ...(await describePart(1, large)), etag: expect.any(String), lastModified: expect.any(Date) },
        { ...(await describePart(2, large)), etag: expect.any(String), lastModified: expect.any(Date) },
        { ...(await describePart(3, small)), etag: expect.any(String), lastModified: expect.any(Date) },
      ]);
      expect(await store.head(upload.key)).toBeUndefined();

      expect(await complete(upload, await crc64Nvme(whole))).toBe('completed');

      expect(await store.head(upload.key)).toEqual({
        sizeBytes: whole.length,
        contentType: 'text/csv',
        checksumCrc64Nvme: await crc64Nvme(whole),
        lastModified: expect.any(Date),
      });
      expect((await readAll(upload.key)).equals(whole)).toBe(true);
      expect(await store.listParts(upload)).toBeUndefined();
    });

    it('verifies the whole of an upload created with checksums, and keeps the parts when it differs', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      expect(await complete(upload, await crc64Nvme(large))).toBe('bad_digest');
      expect(await partsOf(upload)).toHaveLength(1);
      expect(await complete(upload, await crc64Nvme(small))).toBe('completed');
    });

    it('completes an upload created with checksums without being told that of the whole', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      expect(await complete(upload)).toBe('completed');
      expect((await store.head(upload.key))?.checksumCrc64Nvme).toBe(await crc64Nvme(small));
    });

    it('takes parts without checksums in an upload created so, does not compare, and still knows the checksum', async () => {
      const upload = await begin({ checksums: false });
      await send(upload, 1, large, { checksum: false });
      await send(upload, 2, small, { checksum: false });
      for (const part of await partsOf(upload)) expect(part).not.toHaveProperty('checksumCrc64Nvme');
      expect(await complete(upload, await crc64Nvme(small))).toBe('completed');
      const whole = combineCrc64Nvme(await crc64Nvme(large), await crc64Nvme(small), small.length);
      expect((await store.head(upload.key))?.checksumCrc64Nvme).toBe(whole);
    });

    it('replaces a part that is sent again', async () => {
      const upload = await begin();
      await send(upload, 1, large);
      await send(upload, 1, small);
      expect(await partsOf(upload)).toEqual([
        { ...(await describePart(1, small)), etag: expect.any(String), lastModified: expect.any(Date) },
      ]);
      expect(await complete(upload, await crc64Nvme(small))).toBe('completed');
      expect((await readAll(upload.key)).equals(small)).toBe(true);
    });

    it('refuses parts that are not the ones it holds', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      const [part] = (await partsOf(upload)) as [StoredPart];
      const sizeBytes = part.sizeBytes;
      const others: StoredPart[] = [
        { ...part, etag: `"${'0'.repeat(32)}"` },
        { ...part, partNumber: 2 },
      ];
      for (const other of others)
        expect(await store.completeMultipart({ ...upload, sizeBytes, parts: [other] })).toBe('bad_digest');
      expect(await store.completeMultipart({ ...upload, sizeBytes: sizeBytes + 1, parts: [part] })).toBe('bad_digest');
      expect(await partsOf(upload)).toHaveLength(1);
    });

    it('refuses parts below 5 MiB but for the last, and parts out of order', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      await send(upload, 2, small);
      await expect(complete(upload)).rejects.toMatchObject({ name: 'EntityTooSmall' });
      await send(upload, 1, large);
      const parts = (await partsOf(upload)).toReversed();
      const sizeBytes = large.length + small.length;
      const completion = store.completeMultipart({ ...upload, sizeBytes, parts });
      await expect(completion).rejects.toMatchObject({ name: 'InvalidPartOrder' });
      expect(await complete(upload)).toBe('completed');
    });

    it('leaves out parts that are not given', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      await send(upload, 2, large);
      const parts = (await partsOf(upload)).slice(0, 1);
      expect(await store.completeMultipart({ ...upload, sizeBytes: small.length, parts })).toBe('completed');
      expect((await readAll(upload.key)).equals(small)).toBe(true);
    });

    it('never replaces an object', async () => {
      const [first, second] = [await begin(), await begin()];
      const rival = await begin({ key: first.key });
      await send(first, 1, small);
      await send(rival, 1, large);
      expect(await complete(first)).toBe('completed');
      expect(await complete(rival)).toBe('exists');
      expect((await readAll(first.key)).equals(small)).toBe(true);
      await store.abortMultipart(rival);
      await store.abortMultipart(second);
    });

    it('answers a repeated or concurrent completion so that there is one object', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      const parts = await partsOf(upload);
      const input = { ...upload, sizeBytes: small.length, parts };
      const outcomes = await Promise.all([store.completeMultipart(input), store.completeMultipart(input)]);
      expect(outcomes).toContain('completed');
      for (const outcome of [...outcomes, await store.completeMultipart(input)])
        expect(['completed', 'missing', 'exists']).toContain(outcome);
      expect((await readAll(upload.key)).equals(small)).toBe(true);
    });

    it('knows no upload under another key, and none that never was', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      const elsewhere = { ...upload, key: newKey() };
      expect(await store.listParts(elsewhere)).toBeUndefined();
      const parts = await partsOf(upload);
      expect(await store.completeMultipart({ ...elsewhere, sizeBytes: small.length, parts })).toBe('missing');
      await store.abortMultipart({ key: upload.key, multipartId: 'never-was' });
      expect(await partsOf(upload)).toHaveLength(1);
    });

    it('aborts with all parts, as often as asked', async () => {
      const upload = await begin();
      await send(upload, 1, small);
      await store.abortMultipart(upload);
      await store.abortMultipart(upload);
      expect(await store.listParts(upload)).toBeUndefined();
      expect(await store.completeMultipart({ ...upload, sizeBytes: 1, parts: [aPart] })).toBe('missing');
    });

    it('lists uploads in progress under a prefix, by key', async () => {
      const prefix = `${newKey()}/`;
      const [b, a] = [await begin({ key: `${prefix}b` }), await begin({ key: `${prefix}a` })];
      await begin();
      const { items, cursor } = await store.listMultiparts({ prefix });
      expect(items).toEqual([a, b].map((upload) => ({ ...upload, createdAt: expect.any(Date) })));
      expect(cursor).toBeUndefined();
      expect(Math.abs(Date.now() - (items[0]?.createdAt.getTime() ?? 0))).toBeLessThan(60_000);
      await store.abortMultipart(a);
      await store.abortMultipart(b);
      expect(await store.listMultiparts({ prefix })).toEqual({ items: [] });
    });
  });

  // Some 5,000 calls: on LocalStack half a minute of a busy machine.
  describe('listings of more than a page', { timeout: 180_000 }, () => {
    const numbers = Array.from({ length: 1_003 }, (_, i) => i + 1);

    it('has every part', async () => {
      const upload = await begin({ checksums: false });
      await inTurns(numbers, (partNumber) => send(upload, partNumber, Buffer.from('x'), { checksum: false }));
      expect((await partsOf(upload)).map((part) => part.partNumber)).toEqual(numbers);
      await store.abortMultipart(upload);
    });

    it('has every object and every upload in progress, once', async () => {
      const prefix = `${newKey()}/`;
      const keys = numbers.map((number) => `${prefix}${String(number).padStart(5, '0')}`);
      await inTurns(keys, async (key) => {
        await begin({ key });
        await put(key, Buffer.from(key));
      });
      const objects = await collect((cursor) => store.list({ prefix, ...cursor }));
      expect(objects.map((object) => object.key)).toEqual(keys);
      const uploads = await collect((cursor) => store.listMultiparts({ prefix, ...cursor }));
      expect(uploads.map((upload) => upload.key)).toEqual(keys);
      await inTurns(uploads, (upload) => store.abortMultipart(upload));
      await inTurns(keys, (key) => store.delete(key));
    });
  });

  describe('part URLs', () => {
    it('work until they expire, and not a moment longer', async () => {
      const upload = await begin();
      const { url, headers, expiresAt } = await sign(upload, await describePart(1, small), 2);
      const attempt = () => fetch(url, { method: 'PUT', body: small as BodyInit, headers });
      const { status } = await attempt();
      // S3 counts from the second that had begun: a busy machine may need longer than what is left.
      if (Date.now() < expiresAt.getTime()) expect(status).toBe(200);
      expect(expiresAt.getTime() - Date.now()).toBeLessThanOrEqual(2_000);
      await expect.poll(async () => (await attempt()).status, { timeout: 10_000, interval: 200 }).toBe(403);
      expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
      expect(await refusalOf(await attempt())).toEqual({ status: 403, code: 'AccessDenied' });
    });

    it('take one method, one length, one checksum and the part they were signed for', async () => {
      const upload = await begin();
      const { url, headers } = await sign(upload, await describePart(1, small));
      const notSigned = { status: 403, code: 'SignatureDoesNotMatch' };
      const attempt = async (target: string, init: RequestInit) => refusalOf(await fetch(target, init));
      const body = small as BodyInit;
      const otherChecksum = { 'x-amz-checksum-crc64nvme': await crc64Nvme(large) };

      expect(await attempt(url, { method: 'GET' })).toMatchObject({ status: 403 });
      expect(await attempt(url, { method: 'PUT', body: small.subarray(1) as BodyInit, headers })).toEqual(notSigned);
      expect(await attempt(url, { method: 'PUT', body: large as BodyInit, headers })).toEqual(notSigned);
      expect(await attempt(url, { method: 'PUT', body })).toMatchObject({ status: 403 });
      expect(await attempt(url, { method: 'PUT', body, headers: otherChecksum })).toEqual(notSigned);
      for (const tampered of tamper(url))
        expect(await attempt(tampered, { method: 'PUT', body, headers })).toEqual(notSigned);
      expect(await partsOf(upload)).toEqual([]);
    });

    it('refuse other bytes of the same length', async () => {
      const upload = await begin();
      const { url, headers } = await sign(upload, await describePart(1, small));
      const response = await fetch(url, { method: 'PUT', body: randomBytes(small.length) as BodyInit, headers });
      expect(await refusalOf(response)).toMatchObject({
        status: 400,
        code: expect.stringMatching(/^(BadDigest|InvalidRequest)$/),
      });
      expect(await partsOf(upload)).toEqual([]);
    });

    it('refuse a part without a checksum where the upload was created with checksums', async () => {
      const upload = await begin();
      const { url } = await sign(upload, { partNumber: 1, sizeBytes: small.length });
      const response = await fetch(url, { method: 'PUT', body: small as BodyInit });
      expect(await refusalOf(response)).toEqual({ status: 400, code: 'InvalidRequest' });
      expect(await partsOf(upload)).toEqual([]);
    });

    it('are worth nothing once the upload is completed or aborted', async () => {
      const [completed, aborted] = [await begin(), await begin()];
      const part = await describePart(1, small);
      const requests = [await sign(completed, part), await sign(aborted, part)];
      await send(completed, 1, small);
      expect(await complete(completed)).toBe('completed');
      await store.abortMultipart(aborted);
      for (const { url, headers } of requests) {
        const response = await fetch(url, { method: 'PUT', body: small as BodyInit, headers });
        expect(await refusalOf(response)).toEqual({ status: 404, code: 'NoSuchUpload' });
      }
      expect(await store.listParts(aborted)).toBeUndefined();
    });

    it('leave nothing of a part that was arriving when its upload was aborted', async () => {
      const upload = await begin();
      const { url, headers } = await sign(upload, await describePart(1, large));
      const arriving = request(url, { method: 'PUT', headers: { ...headers, 'content-length': large.length } });
      const answered = once(arriving, 'response');
      arriving.write(large.subarray(0, -1));
      await store.abortMultipart(upload);
      arriving.end(large.subarray(-1));
      const [response] = (await answered) as [IncomingMessage];
      response.resume();
      expect(response.statusCode).toBe(404);
      expect(await store.listParts(upload)).toBeUndefined();
    });

    it('keep one whole part of two that are sent at the same time', async () => {
      const upload = await begin();
      await Promise.all([send(upload, 1, small), send(upload, 1, large)]);
      const [part] = (await partsOf(upload)) as [StoredPart];
      expect([small.length, large.length]).toContain(part.sizeBytes);
      expect(await complete(upload)).toBe('completed');
      const [head, bytes] = [await store.head(upload.key), await readAll(upload.key)];
      expect(head).toMatchObject({ sizeBytes: part.sizeBytes, checksumCrc64Nvme: await crc64Nvme(bytes) });
    });
  });

  describe('objects', () => {
    it('holds what was put, and replaces it', async () => {
      const key = newKey();
      expect(await put(key, small)).toBe(true);
      expect(await put(key, large)).toBe(true);
      expect(await store.head(key)).toEqual({
        sizeBytes: large.length,
        contentType: 'text/plain',
        checksumCrc64Nvme: await crc64Nvme(large),
        lastModified: expect.any(Date),
      });
      expect((await readAll(key)).equals(large)).toBe(true);
    });

    it('puts unless the key is taken, once among many', async () => {
      const key = newKey();
      const bodies = Array.from({ length: 5 }, () => randomBytes(100));
      const written = await Promise.all(bodies.map((body) => put(key, body, { unlessExists: true })));
      expect(written.filter(Boolean)).toHaveLength(1);
      expect(await put(key, small, { unlessExists: true })).toBe(false);
      expect((await readAll(key)).equals(bodies[written.indexOf(true)] as Buffer)).toBe(true);
    });

    it('holds an object without bytes', async () => {
      const key = newKey();
      await put(key, new Uint8Array());
      expect(await store.head(key)).toMatchObject({ sizeBytes: 0, checksumCrc64Nvme: 'AAAAAAAAAAA=' });
      expect(await readAll(key)).toHaveLength(0);
      expect(await readAll(key, { start: 0, end: 10 })).toHaveLength(0);
    });

    it('reads ranges, across parts too, and nothing beyond the end', async () => {
      const upload = await begin();
      await send(upload, 1, large);
      await send(upload, 2, small);
      await complete(upload);
      const whole = Buffer.concat([large, small]);
      const ranges: [number, number?][] = [
        [0, 1],
        [10, 10],
        [large.length - 5, large.length + 5],
        [large.length],
        [large.length, large.length + 1],
        [7, large.length],
        [whole.length - 1, whole.length + 100],
        [whole.length],
        [whole.length + 5, whole.length + 9],
      ];
      for (const [start, end] of ranges) {
        const bytes = await readAll(upload.key, { start, ...(end === undefined ? {} : { end }) });
        expect(bytes.equals(whole.subarray(start, end)), `${start}–${end}`).toBe(true);
      }
    });

    it('stops reading when the reader does', async () => {
      const key = newKey();
      await put(key, large);
      const reader = (await store.read(key)).getReader();
      expect((await reader.read()).done).toBe(false);
      await reader.cancel();
      expect((await readAll(key)).equals(large)).toBe(true);
    });

    it('knows nothing of keys that are not there', async () => {
      const key = newKey();
      expect(await store.head(key)).toBeUndefined();
      await expect(store.read(key)).rejects.toMatchObject({ code: 'FileNotFoundError' });
      await expect(store.read(key, { start: 5, end: 5 })).rejects.toMatchObject({ code: 'FileNotFoundError' });
      await store.delete(key);
    });

    it('deletes', async () => {
      const key = newKey();
      await put(key, small);
      await store.delete(key);
      expect(await store.head(key)).toBeUndefined();
    });

    it('lists keys under a prefix by UTF-8 bytes', async () => {
      const prefix = newKey();
      // UTF-16 would put the emoji, a surrogate pair, before U+FF5E.
      const keys = ['/A', '/a', '/a/b', '/a_b', '/é', '/～', '/😀', '0'].map((end) => prefix + end);
      for (const key of keys.toReversed()) await put(key, Buffer.from(key));
      const { items, cursor } = await store.list({ prefix: `${prefix}/` });
      expect(items).toEqual(keys.slice(0, -1).map((key) => ({ key, sizeBytes: Buffer.byteLength(key) })));
      expect(cursor).toBeUndefined();
    });

    it('keeps apart keys that a file system or URL would take for one', async () => {
      const prefix = newKey();
      const keys = ['a b', 'a+b', 'a%20b', 'a//b', 'A B', "it's (1)*!", 'ü&?#=x'].map((end) => `${prefix}/${end}`);
      for (const key of keys) await put(key, Buffer.from(key));
      for (const key of keys) {
        expect((await readAll(key)).toString()).toBe(key);
        const { url } = await store.signGet({ key, fileName: 'f', expiresInSeconds: 60 });
        expect(await (await fetch(url)).text()).toBe(key);
      }
    });
  });

  describe('download URLs', () => {
    async function signGet(fileName: string, expiresInSeconds = 60) {
      const key = newKey();
      await put(key, small);
      return store.signGet({ key, fileName, expiresInSeconds });
    }

    it('download the bytes', async () => {
      const response = await fetch((await signGet('data.txt')).url);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('text/plain');
      expect(response.headers.get('etag')).toBeTruthy();
      expect(response.headers.get('content-disposition')).toBe(
        `attachment; filename="data.txt"; filename*=UTF-8''data.txt`,
      );
      expect(Buffer.from(await response.arrayBuffer()).equals(small)).toBe(true);
    });

    it('carry any name safely', async () => {
      const names: [string, string][] = [
        ['naïve 数据.csv', `attachment; filename="na_ve __.csv"; filename*=UTF-8''na%C3%AFve%20%E6%95%B0%E6%8D%AE.csv`],
        ['a"b\\c.txt', `attachment; filename="a_b_c.txt"; filename*=UTF-8''a%22b_c.txt`],
        ['x\r\nSet-Cookie: y', `attachment; filename="x__Set-Cookie: y"; filename*=UTF-8''x__Set-Cookie%3A%20y`],
        [
          "it's 50% (é).txt",
          `attachment; filename="it's 50_ (_).txt"; filename*=UTF-8''it%27s%2050%25%20%28%C3%A9%29.txt`,
        ],
        ['../../etc/passwd', `attachment; filename=".._.._etc_passwd"; filename*=UTF-8''.._.._etc_passwd`],
        ['\ud800.txt', `attachment; filename="_.txt"; filename*=UTF-8''%EF%BF%BD.txt`],
      ];
      for (const [name, disposition] of names) {
        const response = await fetch((await signGet(name)).url);
        expect(response.status).toBe(200);
        expect(response.headers.get('content-disposition')).toBe(disposition);
        expect(response.headers.get('set-cookie')).toBeNull();
        await response.arrayBuffer();
      }
    });

    it('answer ranges', async () => {
      const { url } = await signGet('f');
      const get = (range: string) => fetch(url, { headers: { range } });
      for (const [range, start, end] of [
        ['bytes=0-9', 0, 10],
        ['bytes=990-', 990, 1_000],
        ['bytes=-10', 990, 1_000],
        ['bytes=995-5000', 995, 1_000],
      ] as const) {
        const response = await get(range);
        expect(response.status).toBe(206);
        expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/1000`);
        expect(Buffer.from(await response.arrayBuffer()).equals(small.subarray(start, end))).toBe(true);
      }
      expect(await refusalOf(await get('bytes=1000-'))).toEqual({ status: 416, code: 'InvalidRange' });
    });

    it('expire, take no other method, and cannot be changed', async () => {
      const { url, expiresAt } = await signGet('f', 2);
      expect(await refusalOf(await fetch(url, { method: 'PUT', body: 'x' }))).toMatchObject({ status: 403 });
      for (const tampered of tamper(url))
        expect(await refusalOf(await fetch(tampered))).toEqual({ status: 403, code: 'SignatureDoesNotMatch' });
      await expect.poll(async () => (await fetch(url)).status, { timeout: 10_000, interval: 200 }).toBe(403);
      expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
    });

    it('find no object that was deleted', async () => {
      const { url } = await store.signGet({ key: newKey(), fileName: 'f', expiresInSeconds: 60 });
      expect(await refusalOf(await fetch(url))).toEqual({ status: 404, code: 'NoSuchKey' });
    });
  });
});

const aPart: StoredPart = {
  partNumber: 1,
  sizeBytes: 1,
  etag: `"${createHash('md5').digest('hex')}"`,
  lastModified: new Date(),
};

/** Runs a step for each item, twenty at a time. */
async function inTurns<T>(items: readonly T[], step: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const runner = async () => {
    for (const item of rest) await step(item);
  };
  await Promise.all(Array.from({ length: 20 }, runner));
}

async function collect<T>(list: (cursor: { cursor?: string }) => Promise<{ items: readonly T[]; cursor?: string }>) {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const page = await list(cursor ? { cursor } : {});
    items.push(...page.items);
    cursor = page.cursor;
  } while (cursor);
  return items;
}

/** The URL with each value of its query changed in turn, and with another path. */
function tamper(url: string): string[] {
  const names = [...new URL(url).searchParams.keys()].filter(
    (name) => !/credential|algorithm|date|signedheaders|x-id/i.test(name),
  );
  return names.map((name) => {
    const tampered = new URL(url);
    const value = tampered.searchParams.get(name) ?? '';
    const last = value.at(-1);
    tampered.searchParams.set(name, value.slice(0, -1) + (last === '1' ? '2' : '1'));
    return tampered.href;
  });
}
