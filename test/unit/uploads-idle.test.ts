import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GIB } from '../../contract/limits.ts';
import { routes } from '../../contract/routes.ts';
import { orphaned } from '../../lambdas/uploads/idle.ts';
import { multipartOf } from '../../lambdas/uploads/records.ts';
import { sweepUploads } from '../../lambdas/uploads/sweep.ts';
import {
  DAY_MS,
  HOUR_MS,
  openUploadsWorld,
  otherTenant,
  someBytes,
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

const idle = async (seconds: number, query: object = {}) =>
  (await world.call('listUploads', { query: { state: 'open', idle_seconds: seconds, ...query } })).body;

describe('open sessions without activity', () => {
  test('are those that no part has reached for so long, with what they keep', async () => {
    const { upload: empty } = await world.init();
    const sent = await world.sent(bytes);
    const late = await world.init();
    const completed = await world.sent(bytes);
    await world.complete(completed.id);
    world.clock.advance(HOUR_MS - 1_000);
    await world.sendAll(late.upload, bytes);
    const { upload: young } = await world.init();
    world.clock.advance(1_000);
    await world.sent(bytes, {}, otherTenant);
    const page = await idle(3_600);
    expect(page.items.map(({ id, received_bytes }) => [id, received_bytes])).toEqual([
      [sent.id, 10],
      [empty.id, 0],
    ]);
    expect(page.items[0]?.last_activity_at).toBe('2026-01-01T00:00:00.000Z');
    expect(page.orphaned).toMatchObject({ sessions: 2, bytes: 10 });
    expect((await idle(1)).items.map(({ id }) => id)).toEqual([young, late.upload, sent, empty].map(({ id }) => id));
    expect((await idle(3_601)).items).toEqual([]);
  });

  test('come by pages, which tell of their own sessions', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.unshift((await world.sent(bytes)).id);
    world.clock.advance(HOUR_MS);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await idle(60, { limit: 2, cursor });
      expect(page.orphaned?.bytes).toBe(10 * page.items.length);
      found.push(...page.items.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor);
    expect(found).toEqual(ids);
  });

  test('are not those whose parts are gone', async () => {
    const { id } = await world.sent(bytes);
    const [kept] = world.uploads();
    if (!kept) throw new Error('there is no session');
    await world.store.abortMultipart(multipartOf(kept));
    world.clock.advance(HOUR_MS);
    expect((await idle(60)).items).toEqual([]);
    // It is shown as what it is, but only a call that changes something, or the sweep, stores that.
    expect(await world.state(id)).toBe('expired');
    expect(world.uploads()[0]?.state).toBe('open');
    await expect(world.complete(id)).rejects.toMatchObject({ code: 'UploadNotOpenError' });
    expect(world.uploads()[0]?.state).toBe('expired');
    expect((await world.call('listUploads')).body.orphaned).toBeUndefined();
  });

  test('are asked for with their state, and at least a second', () => {
    const { query } = routes.listUploads;
    expect(query.safeParse({ idle_seconds: '60' }).error?.issues).toMatchObject([{ path: ['idle_seconds'] }]);
    expect(query.safeParse({ idle_seconds: '60', state: 'completed' }).success).toBe(false);
    expect(query.safeParse({ idle_seconds: '0', state: 'open' }).success).toBe(false);
    expect(query.parse({ idle_seconds: '60', state: 'open' })).toMatchObject({ idle_seconds: 60, state: 'open' });
  });

  test('cost what S3 Standard takes', () => {
    expect(orphaned(1, 100 * GIB)).toEqual({ sessions: 1, bytes: 100 * GIB, usd_per_month: 2.3 });
  });
});

describe('the report of the sweep', () => {
  test('tells after each search what sessions of all tenants keep that have been idle for a day', async () => {
    await world.sent(bytes);
    await world.sent(bytes, {}, otherTenant);
    const late = await world.init();
    world.clock.advance(DAY_MS - 1);
    expect((await sweepUploads(world.deps)).orphaned).toEqual({ sessions: 0, bytes: 0, usd_per_month: 0 });
    await world.sendAll(late.upload, bytes);
    world.clock.advance(HOUR_MS - 1);
    expect((await sweepUploads(world.deps)).orphaned).toBeUndefined();
    world.clock.advance(1);
    expect((await sweepUploads(world.deps)).orphaned).toMatchObject({ sessions: 2, bytes: 20 });
    expect(world.uploads().map(({ state }) => state)).toEqual(['open', 'open', 'open']);
  });

  test('adds up over the runs that a search takes', async () => {
    for (let count = 0; count < 2_001; count += 1) {
      const key = `tenant/acme/uploads/upl_01J0000000000000000000${String(count).padStart(4, '0')}`;
      await world.store.createMultipart({ key, contentType: 'text/csv', checksums: false });
    }
    await world.sent(bytes);
    world.clock.advance(DAY_MS);
    expect(await sweepUploads(world.deps)).not.toHaveProperty('orphaned');
    expect((await sweepUploads(world.deps)).orphaned).toMatchObject({ sessions: 1, bytes: 10 });
  });
});
