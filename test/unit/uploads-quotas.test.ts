import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { UploadId } from '../../contract/common.ts';
import type { Usage } from '../../contract/uploads.ts';
import { initUpload } from '../../lambdas/uploads/init-upload.ts';
import { quotasKey, usageKey } from '../../lambdas/uploads/records.ts';
import type { Table } from '../../platform/ports/table.ts';
import {
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
  openUploadsWorld,
  otherTenant,
  someBytes,
  tenant,
  type UploadsWorld,
} from '../support/uploads-world.ts';

const bytes = someBytes(10);
const QUOTAS = { stored_bytes: 100, bytes_per_day: 200, open_sessions: 5 };

let world: UploadsWorld;
beforeEach(async () => {
  world = await openUploadsWorld({ quotas: QUOTAS });
});
afterEach(async () => {
  await world.checkClean();
  await world.close();
});

const abort = (id: UploadId) => world.call('abortUpload', { params: { upload_id: id } });
const usage = async (): Promise<Usage> => (await world.call('getUsage')).body;
const init = (size: number) => world.init({ size_bytes: size });

describe('quotas', () => {
  test('hold from now on for a tenant whose usage was lost while a session was open', async () => {
    const { upload } = await init(10);
    await world.table.write({ op: 'delete', key: usageKey(tenant) });
    await abort(upload.id);
    expect(await usage()).toMatchObject({ stored_bytes: { used: 0, reserved: 0 }, open_sessions: { used: 0 } });
    const next = await init(100);
    await expect(init(100)).rejects.toMatchObject({ code: 'QuotaExceededError' });
    await abort(next.upload.id);
    await world.table.write({ op: 'delete', key: usageKey(tenant) });
  });

  test('tell that the service is busy when others come first again and again', async () => {
    const { table } = world;
    const refusing: Table = {
      get: (key) => table.get(key),
      query: (query) => table.query(query),
      write: (write) => table.write(write),
      putAll: (items) => table.putAll(items),
      transact: async () => ({ ok: false, failed: [] }),
    };
    const body = { name: 'a.bin', size_bytes: 10, content_type: 'a/b', integrity: 'parts' as const, resume: false };
    const outcome = initUpload({ ...world.deps, table: refusing }, { tenantId: tenant, body });
    await expect(outcome).rejects.toMatchObject({ code: 'ServiceBusyError' });
  });

  test('refuse what exceeds the stored bytes, sessions in progress included, and leave nothing of it behind', async () => {
    await world.file(bytes);
    const { upload } = await init(80);
    const before = await world.stored();
    await expect(init(11)).rejects.toMatchObject({
      code: 'QuotaExceededError',
      message:
        'the quota stored_bytes would be exceeded: 90 of 100 are used, and 11 more are needed; delete files permanently or abort sessions',
      details: { quota: 'stored_bytes', field: 'size_bytes', limit: 100, used: 90, asked: 11 },
    });
    expect(await world.stored()).toEqual(before);
    await init(10);
    await abort(upload.id);
    await init(80);
  });

  test('refuse more sessions in progress than there may be', async () => {
    for (let count = 0; count < 5; count += 1) await init(1);
    await expect(init(1)).rejects.toMatchObject({
      code: 'QuotaExceededError',
      details: { quota: 'open_sessions', limit: 5, used: 5, asked: 1 },
    });
    await abort(world.uploads()[0]?.upload_id as UploadId);
    const { upload } = await init(10);
    await world.sendAll(upload, bytes);
    await world.complete(upload.id);
    await init(1);
  });

  test('refuse more bytes in a day, however sessions ended, until midnight UTC', async () => {
    world.clock.advance(20 * HOUR_MS);
    for (const size of [100, 100]) await abort((await init(size)).upload.id);
    await expect(init(1)).rejects.toMatchObject({
      code: 'QuotaExceededError',
      details: {
        quota: 'bytes_per_day',
        used: 200,
        resets_at: '2026-01-02T00:00:00.000Z',
        retry_after_seconds: 14_400,
      },
    });
    world.clock.advance(4 * HOUR_MS);
    await init(100);
    expect((await usage()).bytes_per_day).toEqual({ used: 100, limit: 200, resets_at: '2026-01-03T00:00:00.000Z' });
  });

  test('a file that is larger than a day may have is not told to come again', async () => {
    await world.close();
    world = await openUploadsWorld({ quotas: { bytes_per_day: 10 } });
    const { details } = await init(11).catch((error) => error);
    expect(details).toEqual({ quota: 'bytes_per_day', field: 'size_bytes', limit: 10, used: 0, asked: 11 });
  });

  test('a clock that is behind goes on with the day that others have begun', async () => {
    world.clock.advance(DAY_MS);
    await init(40);
    world.clock.advance(-MINUTE_MS);
    await init(40);
    expect((await usage()).bytes_per_day).toMatchObject({ used: 80, resets_at: '2026-01-03T00:00:00.000Z' });
    world.clock.advance(2 * DAY_MS);
    await init(20);
  });

  test('are kept by requests at once: as many are let through as fit', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => init(25)));
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : []));
    expect(refused).toEqual(Array(16).fill('QuotaExceededError'));
    expect((await usage()).stored_bytes).toEqual({ used: 100, reserved: 100, limit: 100 });
    expect((await world.stored()).multiparts).toHaveLength(4);
  });

  test('are each tenant’s, and a tenant may have its own', async () => {
    await init(100);
    await world.init({ size_bytes: 100 }, {}, otherTenant);
    const item = { ...quotasKey(tenant), stored_bytes: 120 };
    await world.table.write({ op: 'put', item });
    await init(20);
    await expect(init(1)).rejects.toMatchObject({ details: { limit: 120 } });
    expect((await usage()).open_sessions).toEqual({ used: 2, limit: 5 });
    await abort(world.uploads()[0]?.upload_id as UploadId);
    await world.table.write({ op: 'delete', key: quotasKey(tenant) });
  });

  test('do not stand in the way of resuming, nor of repeating a request', async () => {
    const body = { size_bytes: 100, fingerprint: '100-0123456789abcdef-0123456789abcdef', resume: true };
    const key = { 'idempotency-key': 'k' };
    const { upload } = await world.init(body, key);
    expect((await world.init(body, key)).upload.id).toBe(upload.id);
    expect((await world.init(body)).upload.id).toBe(upload.id);
  });
});

describe('getUsage', () => {
  test('tells of a tenant that has nothing yet', async () => {
    expect(await usage()).toEqual({
      stored_bytes: { used: 0, reserved: 0, limit: 100 },
      bytes_per_day: { used: 0, limit: 200, resets_at: '2026-01-02T00:00:00.000Z' },
      open_sessions: { used: 0, limit: 5 },
    });
  });

  test('counts bytes until they are deleted: those of a quarantined file, too', async () => {
    const upload = await world.sent(bytes, { content_type: 'image/png' });
    await expect(world.complete(upload.id)).rejects.toMatchObject({ code: 'ContentMismatchError' });
    expect(await usage()).toMatchObject({ stored_bytes: { used: 10, reserved: 0 }, open_sessions: { used: 0 } });
    world.clock.advance(7 * DAY_MS);
    await world.sweep();
    expect((await usage()).stored_bytes.used).toBe(0);
  });
});
