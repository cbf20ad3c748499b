import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIN_PART_SIZE_BYTES } from '../../contract/limits.ts';
import type { Upload } from '../../contract/uploads.ts';
import { multipartOf } from '../../lambdas/uploads/records.ts';
import { atPoints } from '../support/faulty-ports.ts';
import { DAY_MS, MINUTE_MS, openUploadsWorld, someBytes, type UploadsWorld } from '../support/uploads-world.ts';

const bytes = someBytes(2 * MIN_PART_SIZE_BYTES + 7);
const plan = { size_bytes: bytes.length, part_size_bytes: MIN_PART_SIZE_BYTES };
const OTHER_CHECKSUM = 'AAAAAAAAAAA=';

let world: UploadsWorld;
beforeEach(async () => {
  world = await openUploadsWorld();
});
afterEach(async () => {
  await world.checkClean();
  await world.close();
});

const part = (partNumber: number) =>
  bytes.subarray((partNumber - 1) * MIN_PART_SIZE_BYTES, partNumber * MIN_PART_SIZE_BYTES);

/** The session as it is kept; there is one. */
function kept() {
  const [upload] = world.uploads();
  if (!upload) throw new Error('there is no session');
  return upload;
}

describe.each(['parts', 'whole'] as const)('completeUpload of a session with integrity %s', (integrity) => {
  test('U1 makes the file of all parts, with a receipt', async () => {
    const upload = await world.sent(bytes, { ...plan, integrity, name: 'a.txt', content_type: 'text/plain' });
    const checksum = await crc64Nvme(bytes);
    const { status, body } = await world.complete(upload.id, { checksum_crc64nvme: checksum });
    expect(status).toBe(200);
    const now = world.clock.now().toISOString();
    expect(body).toMatchObject({
      upload: { id: upload.id, state: 'completed', completed_at: now },
      file: {
        id: upload.id.replace('upl_', 'file_'),
        upload_id: upload.id,
        name: 'a.txt',
        size_bytes: bytes.length,
        content_type: 'text/plain',
        receipt: {
          size_bytes: bytes.length,
          checksum_crc64nvme: checksum,
          parts: 3,
          part_size_bytes: MIN_PART_SIZE_BYTES,
          verified_at: now,
        },
      },
    });
    if (!('file' in body)) throw new Error('no file');
    expect(body.upload.file_id).toBe(body.file.id);
    expect((await world.bytesOf(body.file.id)).equals(bytes)).toBe(true);
  });

  test('U9 refuses when parts are missing, names them, and touches nothing', async () => {
    const { upload } = await world.init({ ...plan, integrity });
    await world.sendPart(upload, 2, part(2));
    const before = kept();
    await expect(world.complete(upload.id)).rejects.toMatchObject({
      code: 'PartsMissingError',
      details: {
        missing: [
          { first: 1, last: 1 },
          { first: 3, last: 3 },
        ],
      },
    });
    expect(kept()).toEqual(before);
    await world.sendPart(upload, 1, part(1));
    await world.sendPart(upload, 3, part(3));
    expect((await world.complete(upload.id)).status).toBe(200);
  });

  test('U9 answers a repeat, and 50 calls at once, with the same file', async () => {
    const upload = await world.sent(bytes, { ...plan, integrity });
    const called: string[] = [];
    const before = (_: number, name: string) => void called.push(name);
    let answers: Awaited<ReturnType<typeof world.complete>>[] = [];
    await world.withFaults({ calls: 0, before, after: () => {} }, async () => {
      answers = await Promise.all(Array.from({ length: 50 }, () => world.complete(upload.id)));
    });
    expect(called.filter((name) => name === 'completeMultipart')).toHaveLength(1);
    const again = await world.complete(upload.id, { checksum_crc64nvme: await crc64Nvme(bytes) });
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set([...answers, again].map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(world.files()).toHaveLength(1);
  });

  test('U9 refuses content that is not what was declared, quarantines it, and says so again', async () => {
    const upload = await world.sent(someBytes(10), { integrity, content_type: 'image/png' });
    const refused = { code: 'ContentMismatchError', details: { state: 'rejected' } };
    await expect(world.complete(upload.id)).rejects.toMatchObject(refused);
    await expect(world.complete(upload.id)).rejects.toMatchObject(refused);
    const { body } = await world.call('getUpload', { params: { upload_id: upload.id } });
    expect(body).toMatchObject({ state: 'rejected', error: { code: 'ContentMismatchError' } });
    expect(world.files()).toEqual([]);
    expect((await world.stored()).objects).toHaveLength(1);
    world.clock.advance(7 * DAY_MS);
    await world.sweep();
    expect((await world.stored()).objects).toEqual([]);
  });

  test('refuses the completion of a session that was aborted', async () => {
    const upload = await world.sent(someBytes(10), { integrity });
    await world.call('abortUpload', { params: { upload_id: upload.id } });
    await expect(world.complete(upload.id)).rejects.toMatchObject({
      code: 'UploadNotOpenError',
      details: { state: 'aborted' },
    });
  });

  test('says that the parts are gone when they have been deleted behind our back', async () => {
    const upload = await world.sent(someBytes(10), { integrity });
    await world.store.abortMultipart(multipartOf(kept()));
    const refused = { code: 'UploadNotOpenError', details: { state: 'expired' } };
    await expect(world.complete(upload.id)).rejects.toMatchObject(refused);
  });

  test('takes up an object that a completion made after the session was opened again', async () => {
    const upload = await world.sent(bytes, { ...plan, integrity });
    const stored = (await world.store.listParts(multipartOf(kept()))) ?? [];
    await world.store.completeMultipart({ ...multipartOf(kept()), sizeBytes: bytes.length, parts: stored });
    const { body } = await world.call('getUpload', { params: { upload_id: upload.id } });
    expect(body).toMatchObject({ state: 'open', progress: { percent: 100, missing: [] } });
    expect((await world.complete(upload.id, { checksum_crc64nvme: await crc64Nvme(bytes) })).status).toBe(200);
  });

  test('refuses a checksum that the file of an earlier completion has not', async () => {
    const upload = await world.sent(someBytes(10), { integrity });
    await world.complete(upload.id);
    const other = world.complete(upload.id, { checksum_crc64nvme: OTHER_CHECKSUM });
    await expect(other).rejects.toMatchObject({ code: 'ChecksumMismatchError' });
    expect((await world.complete(upload.id)).status).toBe(200);
  });

  test('says so when the file has been deleted since', async () => {
    const file_id = await world.file(someBytes(10), { integrity });
    await world.call('deleteFile', { params: { file_id } });
    await expect(world.complete(kept().upload_id)).rejects.toMatchObject({
      code: 'UploadNotOpenError',
      details: { state: 'completed' },
    });
  });
});

describe('checksums at completion', () => {
  let upload: Upload;
  const open = async (integrity: 'parts' | 'whole') => {
    upload = await world.sent(bytes, { ...plan, integrity });
  };

  test('U4 a wrong checksum of the whole is refused while the parts are there, and the session stays open', async () => {
    await open('parts');
    const before = kept();
    const wrong = world.complete(upload.id, { checksum_crc64nvme: OTHER_CHECKSUM });
    await expect(wrong).rejects.toMatchObject({
      code: 'ChecksumMismatchError',
      details: { checksum_crc64nvme: await crc64Nvme(bytes) },
    });
    expect(kept()).toEqual(before);
    expect((await world.complete(upload.id, { checksum_crc64nvme: await crc64Nvme(bytes) })).status).toBe(200);
  });

  test('U4 a wrong checksum of a whole whose parts have none is refused, and nothing is recorded as a file', async () => {
    await open('whole');
    const wrong = () => world.complete(upload.id, { checksum_crc64nvme: OTHER_CHECKSUM });
    await expect(wrong()).rejects.toMatchObject({ code: 'ChecksumMismatchError', details: { state: 'rejected' } });
    await expect(wrong()).rejects.toMatchObject({ code: 'ChecksumMismatchError' });
    expect(world.files()).toEqual([]);
    expect(await world.stored()).toEqual({ objects: [], multiparts: [] });
  });

  test('U4 names the parts that differ from the checksums given', async () => {
    await open('parts');
    const parts = await Promise.all(
      [1, 2, 3].map(async (part_number) => ({
        part_number,
        checksum_crc64nvme: part_number === 2 ? OTHER_CHECKSUM : await crc64Nvme(part(part_number)),
      })),
    );
    await expect(world.complete(upload.id, { parts })).rejects.toMatchObject({
      code: 'PartChecksumMismatchError',
      details: { part_numbers: [2] },
    });
    expect(await world.state(upload.id)).toBe('open');
    expect((await world.complete(upload.id, { parts: [parts[0]] })).status).toBe(200);
  });

  test('refuses checksums of parts that it cannot compare, or that are not of this upload', async () => {
    await open('whole');
    const parts = (part_number: number) => ({ parts: [{ part_number, checksum_crc64nvme: OTHER_CHECKSUM }] });
    await expect(world.complete(upload.id, parts(1))).rejects.toMatchObject({ code: 'ValidationError' });
    await expect(world.complete(upload.id, parts(4))).rejects.toMatchObject({ code: 'InvalidPartIndexError' });
    expect(await world.state(upload.id)).toBe('open');
  });
});

describe('parts that arrive while a completion is under way', () => {
  /** Sends a part by a URL that was signed before. */
  async function replacePart(partNumber: number, replacement: Uint8Array): Promise<void> {
    const { upload_id: id } = kept();
    const checksumCrc64Nvme = await crc64Nvme(replacement);
    const sizeBytes = replacement.length;
    const sent = await world.store.receivePart({ ...multipartOf(kept()), partNumber, sizeBytes, checksumCrc64Nvme }, [
      replacement,
    ]);
    if (sent.outcome !== 'stored') throw new Error(`${id}: ${sent.outcome}`);
  }

  /** Has `run` come between the nth call of a completion and the next. */
  async function completeAnd(afterCall: number, run: () => Promise<void>, body: object = {}) {
    let answer: Awaited<ReturnType<typeof world.complete>> | undefined;
    const after = (call: number) => (call === afterCall ? run() : undefined);
    const { error } = await world.withFaults({ calls: 0, before: () => {}, after }, async () => {
      answer = await world.complete(kept().upload_id, body);
    });
    if (error) throw error;
    return answer;
  }

  const other = someBytes(7, 2);

  test.each([1, 2, 3, 4])('U4 do not slip into the file unnoticed: after call %d', async (call) => {
    await world.sent(bytes, { ...plan, integrity: 'parts' });
    const body = { checksum_crc64nvme: await crc64Nvme(bytes) };
    await expect(completeAnd(call, () => replacePart(3, other), body)).rejects.toMatchObject({
      code: 'ChecksumMismatchError',
    });
    expect(await world.state(kept().upload_id)).toBe('open');
    await replacePart(3, part(3));
    expect((await world.complete(kept().upload_id, body)).status).toBe(200);
  });

  test('are completed, if the caller has said nothing else', async () => {
    await world.sent(bytes, { ...plan, integrity: 'parts' });
    expect((await completeAnd(3, () => replacePart(3, other)))?.status).toBe(200);
    expect(world.files()[0]?.receipt.checksum_crc64nvme).toBe(
      await crc64Nvme(Buffer.concat([part(1), part(2), other])),
    );
  });

  test('are judged by the completion that is about them, not by one before', async () => {
    const upload = await world.sent(bytes, { ...plan, integrity: 'whole' });
    const replaced = Buffer.concat([part(1), part(2), other]);
    const { faults, points } = atPoints('completeMultipart', 'transact');
    const { error } = await world.withFaults(faults, async () => {
      const first = world.complete(upload.id, { checksum_crc64nvme: await crc64Nvme(bytes) });
      await points.completeMultipart.reached;
      await replacePart(3, other);
      world.clock.advance(MINUTE_MS);
      await world.sweep();
      expect(kept().state).toBe('open');
      const second = world.complete(upload.id, { checksum_crc64nvme: await crc64Nvme(replaced) });
      await points.transact.reached;
      points.completeMultipart.open();
      // Then the first goes on with what the second has begun.
      world.clock.advance(MINUTE_MS);
      await expect(first).rejects.toMatchObject({ code: 'ChecksumMismatchError' });
      points.transact.open();
      expect((await second).status).toBe(200);
    });
    expect(error).toBeUndefined();
    expect(world.files()[0]?.receipt.checksum_crc64nvme).toBe(await crc64Nvme(replaced));
  });

  test('that never end are answered with a refusal that may heal', async () => {
    await world.sent(bytes, { ...plan, integrity: 'whole' });
    let seed = 0;
    const after = async () => {
      seed += 1;
      await replacePart(3, someBytes(7, seed));
    };
    const run = () => world.complete(kept().upload_id);
    const { error } = await world.withFaults({ calls: 0, before: () => {}, after }, run);
    expect(error).toMatchObject({ code: 'ServiceBusyError' });
    expect(await world.state(kept().upload_id)).toBe('open');
  });
});

describe('a completion that takes long', () => {
  test('is answered with 202, and ends in the file all the same', async () => {
    const impatient = await openUploadsWorld({ patienceMs: 1 });
    const upload = await impatient.sent(someBytes(10));
    let goOn = () => {};
    const slow = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const before = (_: number, name: string) => (name === 'completeMultipart' ? slow : undefined);
    const { error } = await impatient.withFaults({ calls: 0, before, after: () => {} }, async () => {
      const { status, body } = await impatient.complete(upload.id);
      expect(status).toBe(202);
      expect(body).toMatchObject({ upload: { id: upload.id, state: 'completing' } });
      expect(body).not.toHaveProperty('file');
    });
    expect(error).toBeUndefined();
    goOn();
    await vi.waitFor(async () => expect(await impatient.state(upload.id)).toBe('completed'), 10_000);
    await impatient.checkClean();
    await impatient.close();
  });

  test('is carried through by the sweep when nobody does', async () => {
    const upload = await world.sent(someBytes(10));
    const before = (_: number, name: string) => {
      if (name === 'completeMultipart') throw new Error('the object store fails');
    };
    await world.withFaults({ calls: 0, before, after: () => {} }, () => world.complete(upload.id));
    await world.sweep();
    expect(kept().state).toBe('completing');
    world.clock.advance(MINUTE_MS);
    expect(await world.sweep()).toMatchObject({ settled: 1, errors: 0 });
    expect((await world.complete(upload.id)).status).toBe(200);
  });
});
