import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FileId, TenantId, UploadId } from '../../contract/common.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { UploadEvent } from '../../contract/events/uploads.ts';
import { logUploadChanges } from '../../lambdas/uploads/changes.ts';
import { readUploadEvents } from '../../lambdas/uploads/events.ts';
import { findFile } from '../../lambdas/uploads/files.ts';
import { multipartOf } from '../../lambdas/uploads/records.ts';
import { ChangeFeed } from '../../platform/embedded/change-feed.ts';
import { atPoints } from '../support/faulty-ports.ts';
import {
  DAY_MS,
  openUploadsWorld,
  otherTenant,
  put,
  someBytes,
  tenant,
  type UploadsWorld,
} from '../support/uploads-world.ts';

const bytes = someBytes(10);

let world: UploadsWorld;
beforeEach(async () => {
  world = await openUploadsWorld();
});
afterEach(async () => {
  await world.checkClean();
  await world.close();
});

describe('listings', () => {
  test('list sessions newest first, by pages, and by state', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.unshift((await world.init()).upload.id);
    await world.call('abortUpload', { params: { upload_id: ids[4] } });
    const first = await world.call('listUploads', { query: { limit: 3 } });
    const second = await world.call('listUploads', { query: { limit: 3, cursor: first.body.next_cursor } });
    expect([...first.body.items, ...second.body.items].map(({ id }) => id)).toEqual(ids);
    expect(second.body.next_cursor).toBeUndefined();
    const aborted = await world.call('listUploads', { query: { limit: 2, state: 'aborted' } });
    expect(aborted.body.items.map(({ id }) => id)).toEqual([ids[4]]);
    expect((await world.call('listUploads', { query: { state: 'expired' } })).body.items).toEqual([]);
  });

  test('list files newest first, by pages', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 3; count += 1) ids.unshift(await world.file(bytes));
    await world.init();
    const first = await world.call('listFiles', { query: { limit: 2 } });
    const second = await world.call('listFiles', { query: { limit: 2, cursor: first.body.next_cursor } });
    expect([...first.body.items, ...second.body.items].map(({ id }) => id)).toEqual(ids);
  });

  test('refuse a cursor that they have not given out', async () => {
    for (const operation of ['listUploads', 'listFiles'] as const)
      await expect(world.call(operation, { query: { cursor: 'nonsense' } })).rejects.toMatchObject({
        code: 'InvalidCursorError',
      });
  });
});

describe('files', () => {
  test('download under their name, and are found by other contexts', async () => {
    const file_id = await world.file(bytes, { name: 'a "b" ☃.txt', content_type: 'text/plain' });
    const { body } = await world.call('downloadFile', { params: { file_id } });
    const response = await fetch(body.url);
    expect(response.headers.get('content-disposition')).toContain("filename*=UTF-8''a%20%22b%22%20%E2%98%83.txt");
    expect(response.headers.get('content-type')).toBe('text/plain');
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
    expect(await findFile(world.deps, tenant, file_id)).toEqual({
      file_id,
      name: 'a "b" ☃.txt',
      content_type: 'text/plain',
      object_key: expect.stringMatching(/^tenant\/acme\/uploads\/upl_/),
      size_bytes: 10,
      checksum_crc64nvme: await crc64Nvme(bytes),
    });
  });

  const remove = (file_id: FileId, query = {}) => world.call('deleteFile', { params: { file_id }, query });
  const restore = (file_id: FileId) => world.call('restoreFile', { params: { file_id } });
  const permanent = { permanent: 'true' };
  const list = async (query = {}) => (await world.call('listFiles', { query })).body.items;
  const storedBytes = async () => (await world.call('getUsage')).body.stored_bytes.used;

  test('are gone with their bytes once they are deleted for good', async () => {
    const file_id = await world.file(bytes);
    const params = { file_id };
    expect((await remove(file_id, permanent)).status).toBe(204);
    for (const operation of ['getFile', 'downloadFile', 'deleteFile', 'restoreFile'] as const)
      await expect(world.call(operation, { params })).rejects.toMatchObject({ code: 'FileNotFoundError' });
    expect([await list(), await list({ deleted: 'true' })]).toEqual([[], []]);
    expect(await findFile(world.deps, tenant, file_id)).toBeUndefined();
    expect((await world.stored()).objects).toEqual([]);
    expect(world.files()).toEqual([]);
    expect(await storedBytes()).toBe(0);
  });

  test('that are deleted are hidden, count as stored, and come back as they were', async () => {
    const file_id = await world.file(bytes);
    const [before] = await list();
    for (let repeat = 0; repeat < 2; repeat += 1) expect((await remove(file_id)).status).toBe(204);
    for (const operation of ['getFile', 'downloadFile'] as const)
      await expect(world.call(operation, { params: { file_id } })).rejects.toMatchObject({ code: 'FileNotFoundError' });
    expect(await findFile(world.deps, tenant, file_id)).toBeUndefined();
    const dates = { deleted_at: '2026-01-01T00:00:00.000Z', restorable_until: '2026-01-08T00:00:00.000Z' };
    expect([await list(), await list({ deleted: 'true' })]).toEqual([[], [{ ...before, ...dates }]]);
    expect(await storedBytes()).toBe(10);
    world.clock.advance(7 * DAY_MS - 1);
    await world.sweep();
    for (let repeat = 0; repeat < 2; repeat += 1) expect((await restore(file_id)).body).toEqual(before);
    expect([await list(), await list({ deleted: 'true' })]).toEqual([[before], []]);
    world.clock.advance(DAY_MS);
    await world.sweep();
    expect((await world.bytesOf(file_id)).equals(bytes)).toBe(true);
  });

  test('that are deleted can no more be restored after a week, and go then', async () => {
    const file_id = await world.file(bytes);
    await remove(file_id);
    world.clock.advance(7 * DAY_MS);
    await expect(restore(file_id)).rejects.toMatchObject({ code: 'FileNotFoundError' });
    expect(await list({ deleted: 'true' })).toEqual([]);
    expect((await world.sweep()).deleted).toBe(1);
    expect((await world.stored()).objects).toEqual([]);
    expect(await storedBytes()).toBe(0);
  });

  test('that are deleted can be deleted for good before their time', async () => {
    const file_id = await world.file(bytes);
    await remove(file_id);
    await remove(file_id, permanent);
    expect((await world.stored()).objects).toEqual([]);
    await expect(restore(file_id)).rejects.toMatchObject({ code: 'FileNotFoundError' });
  });

  test('go at once where no deleted file is kept', async () => {
    await world.close();
    world = await openUploadsWorld({ deletedFileDays: 0 });
    await remove(await world.file(bytes));
    expect((await world.stored()).objects).toEqual([]);
  });

  test('are deleted, restored and deleted for good by many at once, and either there or gone', async () => {
    for (let round = 0; round < 5; round += 1) {
      const file_id = await world.file(bytes);
      const calls = Array.from({ length: 4 }, () => [remove(file_id), restore(file_id), remove(file_id, permanent)]);
      const outcomes = await Promise.allSettled(calls.flat());
      for (const outcome of outcomes)
        if (outcome.status === 'rejected') expect(outcome.reason.code).toBe('FileNotFoundError');
    }
    expect(await storedBytes()).toBe(0);
  });
});

describe('abortUpload', () => {
  test('U12 deletes the parts, is fine when repeated, and no late part brings anything back', async () => {
    const { upload, parts } = await world.init();
    await world.sendAll(upload, bytes);
    const abort = () => world.call('abortUpload', { params: { upload_id: upload.id } });
    expect((await abort()).body).toMatchObject({ id: upload.id, state: 'aborted' });
    expect((await put(parts[0] as never, bytes)).status).toBe(404);
    expect((await abort()).body).toMatchObject({ id: upload.id, state: 'aborted' });
    expect(await world.stored()).toEqual({ objects: [], multiparts: [] });
    const { body } = await world.call('getUpload', { params: { upload_id: upload.id } });
    expect(body).toMatchObject({ state: 'aborted', progress: { received_parts: 0, percent: 0 } });
  });

  test('leaves a completed session alone', async () => {
    const file_id = await world.file(bytes);
    const upload_id = file_id.replace('file_', 'upl_');
    await expect(world.call('abortUpload', { params: { upload_id } })).rejects.toMatchObject({
      code: 'UploadNotOpenError',
      details: { state: 'completed' },
    });
    expect((await world.bytesOf(file_id)).equals(bytes)).toBe(true);
  });

  test('leaves nothing of a completion that makes the object at the same time', async () => {
    const upload = await world.sent(bytes);
    const [kept] = world.uploads();
    const multipart = multipartOf(kept as never);
    const parts = (await world.store.listParts(multipart)) ?? [];
    const after = async (_: number, name: string) => {
      if (name === 'abortMultipart' || name === 'delete')
        await world.store.completeMultipart({ ...multipart, sizeBytes: 10, parts });
    };
    const abort = () => world.call('abortUpload', { params: { upload_id: upload.id } });
    await world.withFaults({ calls: 0, before: () => {}, after }, abort);
    expect(await world.stored()).toEqual({ objects: [], multiparts: [] });
  });

  test('and completion at once: one of them wins, and nothing is left of the other', async () => {
    for (let round = 0; round < 10; round += 1) {
      const upload = await world.sent(bytes);
      const calls = [
        world.complete(upload.id),
        world.call('abortUpload', { params: { upload_id: upload.id } }),
      ] as const;
      const outcomes = await Promise.allSettled(round % 2 ? calls : calls.toReversed());
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    }
  });
});

describe('M12 another tenant', () => {
  const unknown = { upload_id: 'upl_01J00000000000000000000000', file_id: 'file_01J00000000000000000000000' };

  async function answers(params: object, tenantId: TenantId) {
    const part = { params: { ...params, part_number: '1' } };
    const calls = [
      world.call('getUpload', { params }, tenantId),
      world.call('signParts', { params, body: { parts: [{ part_number: 1 }] } }, tenantId),
      world.call('redirectPart', part, tenantId),
      world.call('completeUpload', { params }, tenantId),
      world.call('abortUpload', { params }, tenantId),
      world.call('getFile', { params }, tenantId),
      world.call('downloadFile', { params }, tenantId),
      world.call('deleteFile', { params }, tenantId),
      world.call('restoreFile', { params }, tenantId),
    ];
    const outcomes = await Promise.allSettled(calls);
    return outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'answered'));
  }

  test('U9 gets the same answers as for ids that there are not', async () => {
    const file_id = await world.file(bytes);
    const { upload } = await world.init();
    const expected = [...Array(5).fill('UploadNotFoundError'), ...Array(4).fill('FileNotFoundError')];
    expect(await answers(unknown, tenant)).toEqual(expected);
    expect(await answers({ upload_id: upload.id, file_id }, otherTenant)).toEqual(expected);
    expect((await world.call('listUploads', {}, otherTenant)).body.items).toEqual([]);
    expect((await world.call('listFiles', {}, otherTenant)).body.items).toEqual([]);
    expect(await findFile(world.deps, otherTenant, file_id)).toBeUndefined();
    expect(await world.state(upload.id)).toBe('open');
  });
});

/** The events of a session, without their cursors. */
async function eventsOf(uploadId: string) {
  const { items } = await readUploadEvents(world.deps.table, tenant, uploadId as UploadId, { limit: 10 });
  return items.map(({ cursor: _, ...event }) => event);
}

describe('logUploadChanges', () => {
  test('stores one event for each change of state, once when the change comes again', async () => {
    const upload = await world.sent(bytes);
    const [before] = world.uploads();
    await world.complete(upload.id);
    const [after] = world.uploads();
    const consume = logUploadChanges(world.deps);
    const key = { pk: 'T#acme#U#x', sk: 'UPLOAD' };
    const change = (images: object) => ({ seq: '1', key, ...images }) as never;
    await consume([change({ after: before }), change({ before, after }), change({ before: after, after })]);
    await consume([
      change({ before, after }),
      { ...(change({ before, after }) as object), key: { pk: 'x', sk: 'FILE' } } as never,
    ]);
    const common = { tenant_id: tenant, time: world.clock.now().toISOString() };
    const data = { upload_id: upload.id, size_bytes: 10 };
    const opened = {
      ...common,
      id: `${upload.id}-1-opened`,
      type: 'upload.opened',
      data: { ...data, state: 'open' },
    };
    const completed = {
      ...common,
      id: `${upload.id}-3-completed`,
      type: 'upload.completed',
      data: { ...data, state: 'completed', previous: 'open', file_id: after?.file_id },
    };
    expect(await eventsOf(upload.id)).toEqual([opened, completed]);
  });

  test('U9 has the feed tell of what is answered with 202, or refused', async () => {
    await world.close();
    world = await openUploadsWorld({ patienceMs: 5 });
    const { database } = world;
    const { log } = world.deps;
    const consumers = { uploads: logUploadChanges(world.deps) };
    const feed = new ChangeFeed({ database, table: 'uploads', consumers, log });
    const upload = await world.sent(bytes);
    const { faults, points } = atPoints('completeMultipart');
    const { error } = await world.withFaults(faults, async () => {
      expect((await world.complete(upload.id)).status).toBe(202);
      points.completeMultipart.open();
      await world.idle();
    });
    expect(error).toBeUndefined();
    await vi.waitFor(async () => expect(await world.state(upload.id)).toBe('completed'), 10_000);
    const wrong = await world.sent(bytes, { content_type: 'image/png' });
    // So little patience may end before the content was looked at: then it is refused behind a 202.
    await world.complete(wrong.id).catch(() => undefined);
    await vi.waitFor(async () => expect(await world.state(wrong.id)).toBe('rejected'), 10_000);
    await feed.drain();
    const [file] = world.files();
    const common = { tenant_id: tenant, time: world.clock.now().toISOString() };
    const previous = 'completing';
    const events = [...(await eventsOf(upload.id)), ...(await eventsOf(wrong.id))];
    expect(events.filter(({ type }) => /completed|rejected/.test(type))).toEqual([
      {
        ...common,
        id: `${upload.id}-3-completed`,
        type: 'upload.completed',
        data: { upload_id: upload.id, state: 'completed', previous, size_bytes: 10, file_id: file?.file_id },
      },
      {
        ...common,
        id: `${wrong.id}-3-rejected`,
        type: 'upload.rejected',
        data: {
          upload_id: wrong.id,
          state: 'rejected',
          previous,
          size_bytes: 10,
          error: { code: 'ContentMismatchError', message: 'the content does not match the type image/png' },
        },
      },
    ]);
    expect(events.map((event) => UploadEvent.parse(event))).toEqual(events);
  });
});
