import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIB, MIN_PART_SIZE_BYTES } from '../../contract/limits.ts';
import type { Upload } from '../../contract/uploads.ts';
import { openUploadsWorld, put, someBytes, type UploadsWorld } from '../support/uploads-world.ts';

const bytes = someBytes(2 * MIN_PART_SIZE_BYTES + 7);

let world: UploadsWorld;
let upload: Upload;
beforeEach(async () => {
  world = await openUploadsWorld();
  const plan = { size_bytes: bytes.length, part_size_bytes: MIN_PART_SIZE_BYTES };
  upload = (await world.init({ ...plan, integrity: 'parts' })).upload;
});
afterEach(() => world.close());

const part = (partNumber: number) =>
  bytes.subarray((partNumber - 1) * MIN_PART_SIZE_BYTES, partNumber * MIN_PART_SIZE_BYTES);
const params = () => ({ upload_id: upload.id });
const signParts = (parts: object[]) => world.call('signParts', { params: params(), body: { parts } });
const get = async (query: object = {}) => (await world.call('getUpload', { params: params(), query })).body;

describe('signParts', () => {
  test('signs 1,000 parts in one call', async () => {
    const { upload } = await world.init({
      size_bytes: 1_000 * MIN_PART_SIZE_BYTES,
      part_size_bytes: MIN_PART_SIZE_BYTES,
    });
    const parts = Array.from({ length: 1_000 }, (_, index) => ({ part_number: index + 1 }));
    const { body } = await world.call('signParts', { params: { upload_id: upload.id }, body: { parts } });
    expect(new Set(body.parts.map(({ url }) => url)).size).toBe(1_000);
  });

  test('U4 signs the checksum: other bytes are refused, and the part counts as not sent', async () => {
    const checksum = await crc64Nvme(part(3));
    const { body } = await signParts([{ part_number: 3, checksum_crc64nvme: checksum }]);
    const flipped = Uint8Array.from(part(3), (byte, index) => (index === 0 ? byte ^ 1 : byte));
    expect((await put(body.parts[0] as never, flipped)).status).toBe(400);
    expect((await get()).progress.received_parts).toBe(0);
    expect((await put(body.parts[0] as never, part(3))).status).toBe(200);
    expect((await get()).progress.received_parts).toBe(1);
  });

  test.each([0, 4, 10_000])('U9 refuses part %d, which is not of this upload', async (part_number) => {
    // What the contract's schema refuses does not come so far.
    const parts = [{ part_number: Math.max(1, part_number), checksum_crc64nvme: 'AAAAAAAAAAA=' }];
    if (part_number === 0) await expect(signParts([{ part_number }])).rejects.toThrow();
    else
      await expect(signParts(parts)).rejects.toMatchObject({
        code: 'InvalidPartIndexError',
        details: { part_count: 3, part_numbers: [part_number] },
      });
  });

  test('names the parts that lack a checksum', async () => {
    const parts = [{ part_number: 1, checksum_crc64nvme: 'AAAAAAAAAAA=' }, { part_number: 2 }];
    await expect(signParts(parts)).rejects.toMatchObject({
      code: 'ValidationError',
      details: { problems: [{ field: 'parts[1].checksum_crc64nvme' }] },
    });
  });

  test('signs nothing of a session that has ended', async () => {
    await world.call('abortUpload', { params: params() });
    await expect(signParts([{ part_number: 1 }])).rejects.toMatchObject({
      code: 'UploadNotOpenError',
      details: { state: 'aborted' },
    });
  });
});

describe('redirectPart', () => {
  const redirect = (partNumber: string, query: object = {}, more: object = {}) =>
    world.call('redirectPart', { params: { ...params(), part_number: partNumber }, query, ...more });

  test('redirects to where the bytes go', async () => {
    const checksum = await crc64Nvme(part(3));
    const { status, headers, body } = await redirect('3', { checksum_crc64nvme: checksum });
    expect([status, body]).toEqual([307, undefined]);
    const sent = await fetch(headers?.location ?? '', {
      method: 'PUT',
      headers: { 'x-amz-checksum-crc64nvme': checksum },
      body: part(3) as BodyInit,
    });
    expect(sent.status).toBe(200);
    expect((await get()).progress.received).toEqual([{ first: 3, last: 3 }]);
  });

  test('needs no checksum where the integrity is whole', async () => {
    const { upload } = await world.init();
    const { headers } = await world.call('redirectPart', { params: { upload_id: upload.id, part_number: '1' } });
    expect((await fetch(headers?.location ?? '', { method: 'PUT', body: someBytes(10) as BodyInit })).status).toBe(200);
  });

  test.each(['0', '4', '10001', '-1', '1.5', '1e0', '01', '+1', 'one', '', '99999999999999999999'])(
    'U9 refuses part %j',
    async (partNumber) => {
      await expect(redirect(partNumber)).rejects.toMatchObject({ code: 'InvalidPartIndexError' });
    },
  );

  test('refuses bytes, and a part without the checksum that its session needs', async () => {
    const query = { checksum_crc64nvme: 'AAAAAAAAAAA=' };
    await expect(redirect('1', query, { hasBodyBytes: true })).rejects.toMatchObject({ code: 'BodyNotAcceptedError' });
    await expect(redirect('1')).rejects.toMatchObject({
      code: 'ValidationError',
      details: { problems: [{ field: 'checksum_crc64nvme' }] },
    });
  });
});

describe('getUpload', () => {
  test('U5 tells what has arrived and what is missing, and 100 percent only when all is there', async () => {
    await world.sendPart(upload, 2, part(2));
    expect((await get()).progress).toEqual({
      received_bytes: MIN_PART_SIZE_BYTES,
      received_parts: 1,
      percent: 49,
      received: [{ first: 2, last: 2 }],
      missing: [
        { first: 1, last: 1 },
        { first: 3, last: 3 },
      ],
    });
    await world.sendPart(upload, 1, part(1));
    expect((await get()).progress).toMatchObject({ percent: 99, missing: [{ first: 3, last: 3 }] });
    await world.sendPart(upload, 3, part(3));
    const full = { received_bytes: bytes.length, percent: 100, received: [{ first: 1, last: 3 }], missing: [] };
    expect((await get()).progress).toMatchObject(full);
    await world.complete(upload.id);
    expect(await get()).toMatchObject({ state: 'completed', progress: full });
  });

  test('U3 lists the parts with their checksums when asked to', async () => {
    await world.sendPart(upload, 3, part(3));
    expect(await get()).not.toHaveProperty('parts');
    expect((await get({ include: 'parts' })).parts).toEqual([
      { part_number: 3, size_bytes: 7, checksum_crc64nvme: await crc64Nvme(part(3)) },
    ]);
  });

  test('counts a part of the wrong size as not sent', async () => {
    const kept = world.uploads()[0];
    const checksumCrc64Nvme = await crc64Nvme(part(3));
    const key = { key: kept?.object_key ?? '', multipartId: kept?.multipart_id ?? '' };
    await world.store.receivePart({ ...key, partNumber: 1, sizeBytes: 7, checksumCrc64Nvme }, [part(3)]);
    expect((await get()).progress.received_parts).toBe(0);
  });

  test('tells of thousands of parts', async () => {
    const { upload } = await world.init({ size_bytes: 80_000 * MIB });
    const { body } = await world.call('getUpload', { params: { upload_id: upload.id } });
    expect(body.progress.missing).toEqual([{ first: 1, last: 10_000 }]);
  });
});
