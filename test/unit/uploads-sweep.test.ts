import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { UploadId } from '../../contract/common.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { multipartOf, uploadKey } from '../../lambdas/uploads/records.ts';
import {
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
  openUploadsWorld,
  put,
  someBytes,
  tenant,
  type UploadsWorld,
} from '../support/uploads-world.ts';

const bytes = someBytes(10);
const NOTHING = { expired: 0, settled: 0, cleaned: 0, deleted: 0, orphans: 0, errors: 0 };

let world: UploadsWorld;
beforeEach(async () => {
  world = await openUploadsWorld();
});
afterEach(async () => {
  await world.checkClean();
  await world.close();
});

/** Fails at every call of a port's method. */
const failing = (method: string) => ({
  calls: 0,
  before: (_: number, name: string) => {
    if (name === method) throw new Error(`${method} fails`);
  },
  after: () => {},
});

const abort = (id: UploadId) => world.call('abortUpload', { params: { upload_id: id } });

describe('sweepUploads', () => {
  test('U12 expires what is a week old, with its parts, and nothing younger', async () => {
    const { upload, parts } = await world.init();
    await world.sendAll(upload, bytes);
    world.clock.advance(DAY_MS);
    const younger = await world.init();
    expect(await world.sweep()).toEqual(NOTHING);
    world.clock.advance(6 * DAY_MS);
    expect(await world.sweep()).toEqual({ ...NOTHING, expired: 1, cleaned: 1 });
    expect(await world.state(upload.id)).toBe('expired');
    expect((await put(parts[0] as never, bytes)).status).toBe(403);
    await expect(world.complete(upload.id)).rejects.toMatchObject({ code: 'UploadNotOpenError' });
    expect(await world.state(younger.upload.id)).toBe('open');
    expect((await world.stored()).multiparts).toEqual([`tenant/acme/uploads/${younger.upload.id}`]);
  });

  test('finishes an abortion and a deletion that got stuck', async () => {
    const upload = await world.sent(bytes);
    const { error } = await world.withFaults(failing('abortMultipart'), () => abort(upload.id));
    expect(error).toBeUndefined();
    const params = { file_id: await world.file(bytes) };
    await world.withFaults(failing('delete'), () => world.call('deleteFile', { params, query: { permanent: 'true' } }));
    await expect(world.call('getFile', { params })).rejects.toMatchObject({ code: 'FileNotFoundError' });
    const left = await world.stored();
    expect([left.multiparts.length, left.objects.length]).toEqual([1, 1]);
    world.clock.advance(MINUTE_MS);
    expect(await world.sweep()).toEqual({ ...NOTHING, cleaned: 1, deleted: 1 });
    expect(await world.stored()).toEqual({ objects: [], multiparts: [] });
    expect(world.files()).toEqual([]);
  });

  test('opens a session again whose parts are not those that it was to be completed of', async () => {
    const upload = await world.sent(bytes);
    const body = { checksum_crc64nvme: await crc64Nvme(bytes) };
    await world.withFaults(failing('completeMultipart'), () => world.complete(upload.id, body));
    const [kept] = world.uploads();
    if (!kept) throw new Error('there is no session');
    await world.store.receivePart({ ...multipartOf(kept), partNumber: 1, sizeBytes: 10 }, [someBytes(10, 2)]);
    world.clock.advance(MINUTE_MS);
    expect(await world.sweep()).toEqual({ ...NOTHING, settled: 1 });
    expect(await world.state(upload.id)).toBe('open');
    expect((await world.complete(upload.id)).status).toBe(200);
  });

  test('rejects a completion whose bytes are gone', async () => {
    const upload = await world.sent(bytes);
    await world.withFaults(failing('completeMultipart'), () => world.complete(upload.id));
    const [kept] = world.uploads();
    if (!kept) throw new Error('there is no session');
    await world.store.abortMultipart(multipartOf(kept));
    // Not in the first minutes: the object may be about to appear.
    world.clock.advance(MINUTE_MS);
    expect(await world.sweep()).toEqual({ ...NOTHING, errors: 1 });
    await expect(world.complete(upload.id)).rejects.toMatchObject({ code: 'ServiceBusyError' });
    world.clock.advance(10 * MINUTE_MS);
    expect(await world.sweep()).toEqual({ ...NOTHING, settled: 1 });
    await expect(world.complete(upload.id)).rejects.toMatchObject({ code: 'PartsMissingError' });
    expect(await world.state(upload.id)).toBe('rejected');
  });

  test('goes on with the others when one fails, and tries that one again later', async () => {
    const stuck = await world.sent(bytes);
    await world.withFaults(failing('completeMultipart'), () => world.complete(stuck.id));
    const { upload } = await world.init();
    await world.withFaults(failing('abortMultipart'), () => abort(upload.id));
    world.clock.advance(MINUTE_MS);
    await world.withFaults(failing('completeMultipart'), async () => {
      expect(await world.sweep()).toEqual({ ...NOTHING, cleaned: 1, errors: 1 });
    });
    expect(await world.sweep()).toEqual(NOTHING);
    world.clock.advance(5 * MINUTE_MS);
    expect(await world.sweep()).toEqual({ ...NOTHING, settled: 1 });
  });

  test('does a bounded number in one run, and goes on in the next', async () => {
    for (let count = 0; count < 850; count += 1) await world.init();
    world.clock.advance(7 * DAY_MS);
    const first = await world.sweep();
    expect(first.expired).toBeGreaterThan(500);
    expect(first.expired).toBeLessThanOrEqual(800);
    let expired = first.expired;
    while (expired < 850) {
      const { expired: more } = await world.sweep();
      expect(more).toBeGreaterThan(0);
      expired += more;
    }
    expect((await world.stored()).multiparts).toEqual([]);
  });

  test('has in its index only what there is still to do for', async () => {
    const completed = await world.sent(bytes);
    const aborted = await world.sent(bytes);
    const { upload: open } = await world.init();
    await world.complete(completed.id);
    await abort(aborted.id);
    const inIndex = async ({ id }: { id: UploadId }) =>
      'g2pk' in ((await world.table.get(uploadKey(tenant, id))) ?? {});
    expect(await Promise.all([completed, aborted, open].map(inIndex))).toEqual([false, false, true]);
  });

  test('two runs at once do everything once', async () => {
    for (let count = 0; count < 10; count += 1) await world.init();
    world.clock.advance(7 * DAY_MS);
    const reports = await Promise.all([world.sweep(), world.sweep()]);
    expect(reports.map(({ expired }) => expired).reduce((a, b) => a + b)).toBe(10);
    expect(reports.map(({ errors }) => errors)).toEqual([0, 0]);
  });
});

describe('the records of sessions that have ended', () => {
  const body = { size_bytes: 10, fingerprint: '10-0123456789abcdef-0123456789abcdef', resume: true };

  test.each([true, false])(
    'are forgotten after 30 days, the file stays; expired items deleted by then: %o',
    async (purged) => {
      const { upload } = await world.init(body, { 'idempotency-key': 'k' });
      await world.sendAll(upload, bytes);
      await world.complete(upload.id);
      const { upload: aborted } = await world.init();
      await abort(aborted.id);
      const { upload: left } = await world.init();
      world.clock.advance(7 * DAY_MS);
      await world.sweep();
      world.clock.advance(23 * DAY_MS - 1_000);
      if (purged) await world.purge();
      expect(await Promise.all([upload, aborted, left].map(({ id }) => world.state(id)))).toEqual([
        'completed',
        'aborted',
        'expired',
      ]);
      world.clock.advance(1_000);
      if (purged) await world.purge();
      const calls = [world.state(upload.id), abort(aborted.id), world.complete(upload.id)];
      for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'UploadNotFoundError' });
      const listed = await world.call('listUploads');
      expect(listed.body.items.map(({ id }) => id)).toEqual([left.id]);
      const files = await world.call('listFiles');
      expect(files.body.items.map(({ upload_id }) => upload_id)).toEqual([upload.id]);
      const again = await world.init(body, { 'idempotency-key': 'k' });
      expect(again.upload.id).not.toBe(upload.id);
      expect((await world.init(body)).upload.id).toBe(again.upload.id);
    },
  );

  test('stay as long as there is something left of them to delete', async () => {
    const upload = await world.sent(bytes);
    await world.withFaults(failing('abortMultipart'), async () => {
      await abort(upload.id);
      world.clock.advance(40 * DAY_MS);
      await world.sweep();
    });
    await world.purge();
    expect(await world.state(upload.id)).toBe('aborted');
  });
});

describe('orphaned multipart uploads', () => {
  const begin = (key: string) => world.store.createMultipart({ key, contentType: 'text/csv', checksums: false });

  test('are aborted once no request can still be about to record them', async () => {
    const { upload } = await world.init();
    await begin('tenant/acme/uploads/upl_01J00000000000000000000000');
    await begin(`tenant/acme/uploads/${upload.id}`);
    expect((await world.sweep()).orphans).toBe(0);
    world.clock.advance(HOUR_MS);
    expect((await world.sweep()).orphans).toBe(2);
    expect((await world.stored()).multiparts).toEqual([`tenant/acme/uploads/${upload.id}`]);
    await world.sendAll(upload, bytes);
    expect((await world.complete(upload.id)).status).toBe(200);
  });

  test('of other contexts are left alone', async () => {
    const { multipartId } = await begin('tenant/acme/jobs/job_1/scratch');
    world.clock.advance(DAY_MS);
    expect((await world.sweep()).orphans).toBe(0);
    await world.store.abortMultipart({ key: 'tenant/acme/jobs/job_1/scratch', multipartId });
  });

  test('are searched page by page over several runs, and again an hour after the end', async () => {
    for (let count = 0; count < 2_500; count += 1) {
      await begin(`tenant/acme/uploads/upl_01J0000000000000000000${String(count).padStart(4, '0')}`);
    }
    world.clock.advance(HOUR_MS);
    expect((await world.sweep()).orphans).toBe(2_000);
    expect((await world.sweep()).orphans).toBe(500);
    await begin('tenant/acme/uploads/upl_01J00000000000000000009999');
    world.clock.advance(HOUR_MS - 1);
    expect((await world.sweep()).orphans).toBe(0);
    world.clock.advance(1);
    expect((await world.sweep()).orphans).toBe(1);
  });
});
