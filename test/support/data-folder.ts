import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { expect } from 'vitest';
import { asFile, asUpload, usageKey } from '../../lambdas/uploads/records.ts';
import { sweepUploads } from '../../lambdas/uploads/sweep.ts';
import { FileObjectStore } from '../../platform/embedded/file-object-store.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { startEmbeddedServer } from './e2e-server.ts';
import { checkJobsAtRest, rowsOf } from './jobs-at-rest.ts';
import { silentLog } from './workflow-world.ts';

const HOUR_MS = 3_600_000;
/** When every session and all that is kept for a while has long expired. */
const MUCH_LATER_MS = 400 * 24 * HOUR_MS;

function inDatabase<T>(folder: string, look: (database: DatabaseSync) => T): T {
  const database = openDatabase(join(folder, 'millrace.db'));
  try {
    return look(database);
  } finally {
    database.close();
  }
}

/** The effects outside of tasks of `drill`, by their keys: how often each was asked for, and what it has made. */
export async function readEffects(folder: string): Promise<Map<string, { calls: number; made: string }>> {
  const database = openDatabase(join(folder, 'millrace.db'));
  try {
    const objects = openObjects(folder, database);
    const keys = database
      .prepare("SELECT key FROM objects WHERE key GLOB '*/scratch/*'")
      .all()
      .map(({ key }) => String(key));
    const calls = keys.flatMap((key) => /\/call\.([^.]+)\./.exec(key)?.[1] ?? []);
    const made = keys.flatMap((key) => {
      const effect = /\/made\.([^.]+)$/.exec(key)?.[1];
      return effect ? [{ key, effect }] : [];
    });
    const effects = made.map(async ({ key, effect }) => {
      const all = calls.filter((call) => call === effect).length;
      return [effect, { calls: all, made: await text(await objects.read(key)) }] as const;
    });
    return new Map(await Promise.all(effects));
  } finally {
    database.close();
  }
}

function openObjects(folder: string, database: DatabaseSync, clock: Clock = systemClock): FileObjectStore {
  return new FileObjectStore({
    folder: join(folder, 'objects'),
    database,
    baseUrl: 'http://127.0.0.1:1',
    signingKey: new Uint8Array(32),
    clock,
  });
}

/** A data folder on which a server has been before. */
export async function newDataFolder(data: string, root: string): Promise<string> {
  const server = await startEmbeddedServer({ root, data });
  await server.stop();
  return data;
}

/** Whether nothing is under way in a running server: no job, no execution, no event or change that is yet to be told. */
export function isQuiet(folder: string): boolean {
  return inDatabase(folder, (database) => {
    const counts = [
      "table_jobs WHERE g2pk GLOB 'ACTIVE#*'",
      'executions WHERE told = 0',
      'deliveries WHERE dead = 0',
      'queue_messages WHERE dead = 0',
      'changes_jobs',
      'changes_uploads',
    ].map((rows) => `(SELECT count(*) FROM ${rows})`);
    // By one look: what goes on meanwhile may move from what is looked at later to what was looked at before.
    return database.prepare(`SELECT ${counts.join(' + ')} AS count`).get()?.count === 0;
  });
}

/**
 * What holds in the data folder of a server that was quiet and was stopped: its jobs ended right, its counters are right,
 * and once everything has expired and was swept, nothing is left but files and what jobs made.
 */
export async function checkDataFolder(folder: string): Promise<void> {
  inDatabase(folder, (database) => {
    checkJobsAtRest(database);
    const left = (rows: string) => database.prepare(`SELECT * FROM ${rows}`).all();
    expect(left("executions WHERE state = 'running' OR told = 0")).toEqual([]);
    expect(left('deliveries')).toEqual([]);
    expect(left('queue_messages')).toEqual([]);
    expect(left('dead_changes')).toEqual([]);
  });
  const database = openDatabase(join(folder, 'millrace.db'));
  try {
    let now = Date.now() + MUCH_LATER_MS;
    const clock = { ...systemClock, now: () => new Date(now) };
    const objects = openObjects(folder, database, clock);
    // Files and rows are in step: the last start has put them so, and nothing has ended in the middle since.
    expect(await objects.reconcile()).toEqual({ deletedFiles: 0, lostParts: 0, damagedKeys: [] });
    const table = new SqliteTable({ database, name: 'uploads', changes: true });
    for (let run = 0; run < 3; run += 1) {
      await sweepUploads({ table, objects, clock, log: silentLog });
      now += 2 * HOUR_MS;
    }
    const files = rowsOf(database, 'uploads', 'FILE').map(asFile);
    for (const { object_key, receipt } of files) {
      const head = await objects.head(object_key);
      expect(head?.checksumCrc64Nvme).toBe(receipt.checksum_crc64nvme);
    }
    for (const { pk, stored_bytes, reserved_bytes, open_sessions } of rowsOf(database, 'uploads', 'USAGE')) {
      const own = files.filter(({ tenant_id }) => pk === usageKey(tenant_id).pk);
      const bytes = own.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
      expect({ stored_bytes, reserved_bytes, open_sessions }).toEqual({
        stored_bytes: bytes,
        reserved_bytes: 0,
        open_sessions: 0,
      });
    }
    const states = rowsOf(database, 'uploads', 'UPLOAD').map((item) => asUpload(item).state);
    expect(states.filter((state) => state === 'open' || state === 'completing')).toEqual([]);
    expect((await objects.listMultiparts({ prefix: '' })).items).toEqual([]);
    const kept = (await objects.list({ prefix: '' })).items.map(({ key }) => key);
    expect(kept.filter((key) => !/^tenant\/[^/]+\/jobs\//.test(key))).toEqual(
      files.map(({ object_key }) => object_key).sort(),
    );
  } finally {
    database.close();
  }
}
