import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GIB, MAX_FILE_SIZE_BYTES, MAX_PART_SIZE_BYTES, MIB, TIB } from '../../contract/limits.ts';
import { routes } from '../../contract/routes.ts';
import {
  DAY_MS,
  HOUR_MS,
  openUploadsWorld,
  otherTenant,
  put,
  someBytes,
  type UploadsWorld,
} from '../support/uploads-world.ts';

const CHECKSUM = 'AAAAAAAAAAA=';
const fingerprint = '10-0123456789abcdef-0123456789abcdef';

let world: UploadsWorld;
beforeEach(async () => {
  world = await openUploadsWorld();
});
afterEach(() => world.close());

const initUpload = (body: object = {}, headers: object = {}, tenantId?: typeof otherTenant) =>
  world.call('initUpload', { headers, body: { name: 'a.bin', size_bytes: 10, ...body } }, tenantId);

describe('initUpload', () => {
  test('opens a session for a week, of which nothing has arrived', async () => {
    const { status, body } = await initUpload({ name: 'données ☃.csv', content_type: 'text/csv', fingerprint });
    expect(status).toBe(201);
    const now = world.clock.now().getTime();
    expect(body.upload).toEqual({
      id: expect.stringMatching(/^upl_/),
      state: 'open',
      name: 'données ☃.csv',
      size_bytes: 10,
      content_type: 'text/csv',
      integrity: 'whole',
      part_size_bytes: 8 * MIB,
      part_count: 1,
      fingerprint,
      created_at: new Date(now).toISOString(),
      expires_at: new Date(now + 7 * DAY_MS).toISOString(),
      progress: { received_bytes: 0, received_parts: 0, percent: 0, received: [], missing: [{ first: 1, last: 1 }] },
    });
    expect(world.uploads()[0]?.object_key).toBe(`tenant/acme/uploads/${body.upload.id}`);
  });

  test('signs the first 16 parts of a session that needs no checksums, and the bytes can be sent at once', async () => {
    const { upload, parts } = await world.init({ size_bytes: 300 * MIB });
    expect(upload.part_count).toBe(38);
    expect(parts.map(({ part_number }) => part_number)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    const small = await world.init({ size_bytes: 10 });
    expect(small.parts).toHaveLength(1);
    expect((await put(small.parts[0] as never, someBytes(10))).status).toBe(200);
    expect((await world.complete(small.upload.id)).status).toBe(200);
  });

  test('signs the parts asked for, with their checksums', async () => {
    const parts = [
      { part_number: 2, checksum_crc64nvme: CHECKSUM },
      { part_number: 1, checksum_crc64nvme: CHECKSUM },
    ];
    const answer = await world.init({ size_bytes: 10 * MIB, integrity: 'parts', parts, expires_in_seconds: 60 });
    expect(answer.parts).toEqual([
      {
        part_number: 2,
        size_bytes: 2 * MIB,
        url: expect.stringMatching(/^http/),
        headers: { 'x-amz-checksum-crc64nvme': CHECKSUM },
        expires_at: new Date(world.clock.now().getTime() + 60_000).toISOString(),
      },
      expect.objectContaining({ part_number: 1, size_bytes: 8 * MIB }),
    ]);
    expect((await world.init({ integrity: 'parts' })).parts).toEqual([]);
  });

  test.each([
    [1, {}, 8 * MIB, 1],
    [8 * MIB + 1, {}, 8 * MIB, 2],
    [80_000 * MIB, {}, 8 * MIB, 10_000],
    [80_000 * MIB + 1, {}, 16 * MIB, 5_001],
    [5 * TIB, {}, GIB, 5_120],
    [MAX_FILE_SIZE_BYTES, {}, MAX_PART_SIZE_BYTES, 10_000],
    [GIB, { part_size_bytes: 64 * MIB }, 64 * MIB, 16],
  ])('plans the parts of %d bytes, %j', async (size_bytes, more, part_size_bytes, part_count) => {
    expect((await world.init({ size_bytes, ...more })).upload).toMatchObject({ part_size_bytes, part_count });
  });

  test.each([
    [{ size_bytes: 0 }, 'EmptyFileError'],
    [{ size_bytes: MAX_FILE_SIZE_BYTES + 1 }, 'FileTooLargeError'],
    [{ size_bytes: TIB, part_size_bytes: 5 * MIB }, 'ValidationError'],
    [{ size_bytes: 11, fingerprint }, 'ValidationError'],
    [{ parts: [{ part_number: 2 }] }, 'InvalidPartIndexError'],
    [{ parts: [{ part_number: 1, checksum_crc64nvme: CHECKSUM }] }, 'ValidationError'],
    [{ integrity: 'parts', parts: [{ part_number: 1 }] }, 'ValidationError'],
  ])('U9 refuses %j with %s and keeps nothing', async (body, code) => {
    await expect(initUpload(body)).rejects.toMatchObject({ code });
    expect(world.uploads()).toEqual([]);
    expect((await world.stored()).multiparts).toEqual([]);
  });
});

test.each([
  ['text/csv', true],
  ['text/plain; charset=utf-8;name="a, b"', true],
  ['text', false],
  ['text/plain; name="日本"', false],
  ['text/plain;\n a=b', false],
  ['text/plain; a="\u0000"', false],
])('U9 takes a content type if it may stand in a header: %j, %j', (content_type, isTaken) => {
  const { success } = routes.initUpload.body.safeParse({ name: 'a.bin', size_bytes: 10, content_type });
  expect(success).toBe(isTaken);
});

describe('initUpload with an idempotency key', () => {
  const headers = { 'idempotency-key': 'k1' };

  test('answers a repeat with the same session and what it has received', async () => {
    const first = await initUpload({ integrity: 'parts' }, headers);
    await world.sendAll(first.body.upload, someBytes(10));
    const again = await initUpload({ integrity: 'parts' }, headers);
    expect([first.status, again.status]).toEqual([201, 200]);
    expect(again.body.upload).toMatchObject({ id: first.body.upload.id, progress: { percent: 100 } });
    expect(world.uploads()).toHaveLength(1);
  });

  test('answers a repeat after the end with the session as it ended', async () => {
    const first = await initUpload({}, headers);
    await world.call('abortUpload', { params: { upload_id: first.body.upload.id } });
    const again = await initUpload({}, headers);
    expect(again.body).toMatchObject({ upload: { id: first.body.upload.id, state: 'aborted' }, parts: [] });
  });

  test('refuses another request under the same key', async () => {
    const first = await initUpload({}, headers);
    await expect(initUpload({ size_bytes: 11 }, headers)).rejects.toMatchObject({
      code: 'IdempotencyConflictError',
      details: { upload_id: first.body.upload.id },
    });
  });

  test('opens one session for 20 requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => initUpload({ fingerprint }, headers)));
    expect(new Set(answers.map(({ body }) => body.upload.id)).size).toBe(1);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect((await world.stored()).multiparts).toHaveLength(1);
  });

  test('is a key of its own for another tenant, and free again after a week', async () => {
    const first = await initUpload({}, headers);
    expect((await initUpload({}, headers, otherTenant)).status).toBe(201);
    world.clock.advance(7 * DAY_MS);
    const later = await initUpload({ size_bytes: 12 }, headers);
    expect(later.status).toBe(201);
    expect(later.body.upload.id).not.toBe(first.body.upload.id);
  });
});

describe('initUpload with resume', () => {
  const resume = { fingerprint, resume: true };

  test('U3 answers with the open session of the same fingerprint and what it has received', async () => {
    const { upload } = await world.init({ fingerprint, integrity: 'parts' });
    await world.sendAll(upload, someBytes(10));
    const { status, body } = await initUpload({ ...resume, integrity: 'parts', name: 'another name' });
    expect(status).toBe(200);
    expect(body.upload).toMatchObject({ id: upload.id, name: 'a.bin', progress: { received_parts: 1, percent: 100 } });
  });

  test('signs what is asked for only if the session has such parts', async () => {
    await world.init({ fingerprint, integrity: 'parts' });
    const parts = [{ part_number: 1, checksum_crc64nvme: CHECKSUM }];
    const ask = async (body: object) =>
      (await initUpload({ ...resume, parts, integrity: 'parts', ...body })).body.parts;
    expect(await ask({})).toHaveLength(1);
    expect(await ask({ part_size_bytes: 5 * MIB })).toEqual([]);
    expect(await ask({ integrity: 'whole', parts: [{ part_number: 1 }] })).toEqual([]);
  });

  test('opens a new session when there is no open one', async () => {
    const first = await initUpload(resume);
    await world.call('abortUpload', { params: { upload_id: first.body.upload.id } });
    const second = await initUpload(resume);
    expect(second.status).toBe(201);
    world.clock.advance(7 * DAY_MS);
    const third = await initUpload(resume);
    expect(third.status).toBe(201);
    expect((await initUpload(resume, {}, otherTenant)).status).toBe(201);
    expect((await initUpload({ resume: true })).status).toBe(201);
  });

  test('answers with the newest session of a fingerprint', async () => {
    await world.init({ fingerprint });
    world.clock.advance(HOUR_MS);
    const { upload } = await world.init({ fingerprint });
    expect((await initUpload(resume)).body.upload.id).toBe(upload.id);
  });

  test('opens one session for 20 devices at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => initUpload(resume)));
    expect(new Set(answers.map(({ body }) => body.upload.id)).size).toBe(1);
    expect((await world.stored()).multiparts).toHaveLength(1);
  });

  test('keeps to the session it found when the request is repeated under its key', async () => {
    const { upload } = await world.init({ fingerprint });
    const headers = { 'idempotency-key': 'k1' };
    await initUpload(resume, headers);
    await world.init({ fingerprint });
    expect((await initUpload(resume, headers)).body.upload.id).toBe(upload.id);
  });

  test('opens a new session when the parts of the open one have been deleted behind our back', async () => {
    const { upload } = await world.init({ fingerprint });
    const kept = world.uploads()[0];
    await world.store.abortMultipart({ key: kept?.object_key ?? '', multipartId: kept?.multipart_id ?? '' });
    expect((await initUpload(resume)).status).toBe(201);
    expect(await world.state(upload.id)).toBe('expired');
  });
});
