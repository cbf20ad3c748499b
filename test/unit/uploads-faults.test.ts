import { describe, expect, test } from 'vitest';
import type { FileId, UploadId } from '../../contract/common.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { DELETED_FILE_DAYS } from '../../contract/limits.ts';
import { atEveryCall, FAULT_CASES, type FaultCase } from '../support/faulty-ports.ts';
import {
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
  openUploadsWorld,
  someBytes,
  type UploadsWorld,
} from '../support/uploads-world.ts';

const bytes = someBytes(10);
const checksum = await crc64Nvme(bytes);

/** After which anybody goes on with a completion. */
const HEAD_START_MS = 10_000;

/** In worlds of uploads; whatever `healed` looks at, every file has its bytes, and nothing is left over in the end. */
function atEveryUploadCall<T>(
  fault: FaultCase,
  prepare: (world: UploadsWorld) => Promise<T>,
  operation: (world: UploadsWorld, prepared: T) => Promise<unknown>,
  healed: (world: UploadsWorld, prepared: T) => Promise<void>,
): Promise<void> {
  return atEveryCall(fault, openUploadsWorld, prepare, operation, async (world, prepared) => {
    await world.check();
    await healed(world, prepared);
    await world.checkClean();
  });
}

const complete = (present: UploadsWorld, id: UploadId) => present.complete(id, { checksum_crc64nvme: checksum });

async function fileIsThere(present: UploadsWorld): Promise<void> {
  const [file, ...others] = present.files();
  expect(others).toEqual([]);
  expect(file?.receipt).toMatchObject({ checksum_crc64nvme: checksum, size_bytes: 10 });
  expect((await present.bytesOf(file?.file_id as FileId)).equals(bytes)).toBe(true);
}

// Each test opens dozens of worlds, whose files are synced to a disk that others use, too.
describe.each(FAULT_CASES)('a fault at any call ($kind, $when it is carried out)', { timeout: 90_000 }, (fault) => {
  test('of init: the same request again opens one session, and nothing is left of others', () => {
    const headers = { 'idempotency-key': 'k' };
    const body = { name: 'a', size_bytes: 10, fingerprint: '10-0123456789abcdef-0123456789abcdef', resume: true };
    const init = (present: UploadsWorld) => present.call('initUpload', { headers, body });
    return atEveryUploadCall(
      fault,
      async () => {},
      init,
      async (present) => {
        const { body } = await init(present);
        expect(body.upload.state).toBe('open');
        expect(present.uploads()).toHaveLength(1);
        await present.sendAll(body.upload, bytes);
        await complete(present, body.upload.id);
        await fileIsThere(present);
      },
    );
  });

  test.each(['parts', 'whole'] as const)('of complete (%s): the same call again ends in the one file', (integrity) =>
    atEveryUploadCall(
      fault,
      (present) => present.sent(bytes, { integrity }),
      (present, { id }) => complete(present, id),
      async (present, { id }) => {
        present.clock.advance(HEAD_START_MS);
        expect((await complete(present, id)).status).toBe(200);
        await fileIsThere(present);
      },
    ),
  );

  test('of complete: without another call the sweep ends in the one file, if the session was completing', () =>
    atEveryUploadCall(
      fault,
      (present) => present.sent(bytes, { integrity: 'parts' }),
      (present, { id }) => complete(present, id),
      async (present, { id }) => {
        const before = await present.state(id);
        present.clock.advance(MINUTE_MS);
        await present.sweep();
        expect(await present.state(id)).toBe(before === 'open' ? 'open' : 'completed');
        if (before === 'open') present.clock.advance(7 * DAY_MS);
        else await fileIsThere(present);
      },
    ));

  test('of a complete that is refused: the refusal is the same again, and no file is there', () =>
    atEveryUploadCall(
      fault,
      (present) => present.sent(bytes, { integrity: 'whole' }),
      (present, { id }) => present.complete(id, { checksum_crc64nvme: 'AAAAAAAAAAA=' }),
      async (present, { id }) => {
        present.clock.advance(HEAD_START_MS);
        await expect(present.complete(id, { checksum_crc64nvme: 'AAAAAAAAAAA=' })).rejects.toMatchObject({
          code: 'ChecksumMismatchError',
        });
        expect(present.files()).toEqual([]);
      },
    ));

  test('of abort: the same call again ends in an aborted session without parts', () =>
    atEveryUploadCall(
      fault,
      (present) => present.sent(bytes),
      (present, { id }) => present.call('abortUpload', { params: { upload_id: id } }),
      async (present, { id }) => {
        const { body } = await present.call('abortUpload', { params: { upload_id: id } });
        expect(body.state).toBe('aborted');
        await expect(complete(present, id)).rejects.toMatchObject({ code: 'UploadNotOpenError' });
      },
    ));

  test.each([{}, { permanent: 'true' }])('of deleting a file: it is there or gone, and then repeated %o', (query) =>
    atEveryUploadCall(
      fault,
      (present) => present.file(bytes),
      (present, file_id) => present.call('deleteFile', { params: { file_id }, query }),
      async (present, file_id) => {
        if ((await present.call('listFiles')).body.items.length > 0) {
          await fileIsThere(present);
          await present.call('deleteFile', { params: { file_id }, query });
        }
        expect((await present.call('listFiles')).body.items).toEqual([]);
        await expect(present.call('getFile', { params: { file_id } })).rejects.toMatchObject({
          code: 'FileNotFoundError',
        });
        present.clock.advance(DELETED_FILE_DAYS * DAY_MS);
        for (let run = 0; run < 2; run += 1) {
          present.clock.advance(MINUTE_MS);
          await present.sweep();
        }
        expect(present.files()).toEqual([]);
        expect(await present.stored()).toEqual({ objects: [], multiparts: [] });
      },
    ),
  );

  test('of restoring a file: the same call again has it back', () =>
    atEveryUploadCall(
      fault,
      async (present) => {
        const params = { file_id: await present.file(bytes) };
        await present.call('deleteFile', { params });
        return params;
      },
      (present, params) => present.call('restoreFile', { params }),
      async (present, params) => {
        await present.call('restoreFile', { params });
        present.clock.advance(DELETED_FILE_DAYS * DAY_MS);
        await present.sweep();
        await fileIsThere(present);
      },
    ));

  test('of the sweep: the next ones do what it was to do', () =>
    atEveryUploadCall(
      fault,
      async (present) => {
        const fails = (method: string) => ({
          calls: 0,
          before: (_: number, name: string) => {
            if (name === method) throw new Error(`${method} fails`);
          },
          after: () => {},
        });
        await present.sent(bytes);
        present.clock.advance(7 * DAY_MS);
        const aborted = await present.sent(bytes);
        const abort = () => present.call('abortUpload', { params: { upload_id: aborted.id } });
        await present.withFaults(fails('abortMultipart'), abort);
        const file_id = await present.file(bytes);
        await present.withFaults(fails('delete'), () =>
          present.call('deleteFile', { params: { file_id }, query: { permanent: 'true' } }),
        );
        const stuck = await present.sent(bytes);
        await present.withFaults(fails('completeMultipart'), () => complete(present, stuck.id));
        await present.withFaults(fails('transact'), () => present.init());
        present.clock.advance(HOUR_MS);
        return stuck;
      },
      (present) => present.sweep(),
      async (present) => {
        for (let run = 0; run < 2; run += 1) {
          present.clock.advance(HOUR_MS);
          await present.sweep();
        }
        await fileIsThere(present);
        expect(
          present
            .uploads()
            .map(({ state }) => state)
            .sort(),
        ).toEqual(['aborted', 'completed', 'completed', 'expired']);
      },
    ));
});
