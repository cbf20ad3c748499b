import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import { upgradeRows } from '../../platform/embedded/upgrade-rows.ts';
import type { Item } from '../../platform/ports/table.ts';
import { openDataFolder, SetupError } from '../../server/data-folder.ts';
import { upgradeData } from '../../server/upgrade-data.ts';
import { unpackFolder } from '../support/data-archive.ts';
import { startEmbeddedServer } from '../support/e2e-server.ts';
import { silentLog } from '../support/workflow-world.ts';

const FIXTURE = new URL('../fixtures/data-v1/data.br', import.meta.url).pathname;
const CRASH = new URL('../support/crash-process.ts', import.meta.url).href;
/** Names of data version 1 that no row has any more. */
const OLD_NAMES = /"(told_state|untold_seq|milliseconds|heals)\\":|state_changed/g;
const oldNamesIn = (content: object) => [...new Set(JSON.stringify(content).match(OLD_NAMES))];

async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-upgrade-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function oldFolder(): Promise<string> {
  const data = join(await tempFolder(), 'data');
  await unpackFolder(FIXTURE, data);
  return data;
}

/** Opens a folder as a start of the server does; `upgrade` goes wrong in whichever way `tamper` has it. */
async function upgrade(data: string, tamper: (database: DatabaseSync) => void = () => {}): Promise<void> {
  const folder = openDataFolder(data);
  const database = openDatabase(folder.database);
  try {
    tamper(database);
    await upgradeData(folder, { database, log: silentLog });
  } finally {
    database.close();
    folder.close();
  }
}

/** Every row of every table. */
function contentOf(data: string): Record<string, unknown[]> {
  const database = openDatabase(join(data, 'millrace.db'));
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").all();
    return Object.fromEntries(
      tables.map(({ name }) => [String(name), database.prepare(`SELECT * FROM ${name} ORDER BY 1, 2`).all()]),
    );
  } finally {
    database.close();
  }
}

const versionOf = async (data: string) => JSON.parse(await readFile(join(data, 'version.json'), 'utf8'));

/** The upgrade dies at its nth commit, from 1: before it or right after it. */
function dieAtCommit(at: number, when: 'before' | 'after', died: () => void) {
  let commits = 0;
  return (database: DatabaseSync) => {
    const exec = database.exec.bind(database);
    database.exec = (sql: string) => {
      if (sql === 'COMMIT') commits += 1;
      const dies = sql === 'COMMIT' && commits === at;
      if (!dies || when === 'after') exec(sql);
      if (!dies) return;
      died();
      throw new Error('killed by the test');
    };
  };
}

describe('the upgrade of a data folder of version 1', () => {
  it('brings every row and every undelivered change into the present form, and the version last', async () => {
    const data = await oldFolder();
    const before = contentOf(data);
    expect(oldNamesIn(before)).not.toEqual([]);
    await upgrade(data);
    const after = contentOf(data);
    expect(oldNamesIn(after)).toEqual([]);
    expect(await versionOf(data)).toEqual({ version: 2 });

    const jobs = after.table_jobs?.map((row) => JSON.parse(String((row as { body: string }).body)) as Item) ?? [];
    const publications = jobs.filter(({ sk, workflow }) => sk === 'JOB' && workflow === 'publishing');
    expect(publications.map(({ label }) => label).sort()).toEqual(['ebay', 'vinted']);
    for (const job of publications) expect(job).not.toHaveProperty('marketplace');
    expect(jobs.filter(({ sk }) => sk === 'JOB').every(({ run, leg }) => run === leg)).toBe(true);
    // Nothing else has changed, no change was added to a feed, and no table came or went.
    const counts = (content: typeof before) => Object.entries(content).map(([name, rows]) => [name, rows.length]);
    expect(counts(after)).toEqual(counts(before));
    for (const name of ['table_identity', 'objects', 'executions', 'change_cursors'])
      expect(after[name], name).toEqual(before[name]);
  });

  it('comes to the same when it is killed before or after any of its commits', { timeout: 60_000 }, async () => {
    const whole = await oldFolder();
    await upgrade(whole);
    const expected = contentOf(whole);
    const data = await oldFolder();
    let deaths = 0;
    for (let at = 1; ; at += 1) {
      let died = false;
      for (const when of ['before', 'after'] as const) {
        died = false;
        const tamper = dieAtCommit(at, when, () => {
          died = true;
        });
        await upgrade(data, tamper).catch((error: Error) => expect(error.message).toBe('killed by the test'));
        if (!died) break;
        deaths += 1;
        expect(await versionOf(data)).toEqual({ version: 1 });
      }
      if (!died) break;
    }
    expect(deaths).toBeGreaterThan(10);
    expect(contentOf(data)).toEqual(expected);
    expect(await versionOf(data)).toEqual({ version: 2 });
  });

  it('says what to do when the disk is full, loses nothing, and resumes', async () => {
    const data = await oldFolder();
    const before = contentOf(data);
    const full = (database: DatabaseSync) => {
      const { page_count } = database.prepare('PRAGMA page_count').get() as { page_count: number };
      database.exec(`PRAGMA max_page_count = ${page_count}`);
    };
    const failed = upgrade(data, full);
    await expect(failed).rejects.toThrow(SetupError);
    await expect(failed).rejects.toThrow(/cannot upgrade the data folder .*full.*nothing is lost.*start again/);
    expect(await versionOf(data)).toEqual({ version: 1 });
    expect(contentOf(data).table_jobs).toHaveLength(before.table_jobs?.length ?? 0);
    await upgrade(data);
    expect(await versionOf(data)).toEqual({ version: 2 });
  });

  it('resumes at the next start of the server after a kill -9 in the middle', { timeout: 120_000 }, async () => {
    const data = await oldFolder();
    const trace = `${data}.writes`;
    await writeFile(trace, '');
    const env = { CRASH_TRACE: trace, CRASH_AT: '3', CRASH_WHEN: 'after' };
    await expect(startEmbeddedServer({ data, nodeArgs: ['--import', CRASH], env })).rejects.toThrow(/ended with null/);
    expect(await versionOf(data)).toEqual({ version: 1 });
    const server = await startEmbeddedServer({ data });
    onTestFinished(() => server.close());
    expect(await versionOf(data)).toEqual({ version: 2 });
    expect(await readFile(join(data, 'server.log'), 'utf8')).toMatch(/the data folder is upgraded/);
  });

  it('is not begun for a folder of the present version', async () => {
    const data = join(await tempFolder(), 'new');
    await upgrade(data);
    expect(await versionOf(data)).toEqual({ version: 2 });
    await upgrade(data, (database) => {
      database.exec = () => expect.unreachable();
    });
  });
});

describe('an upgrade of rows', () => {
  it('refuses to change a key, which is a defect, and changes nothing', async () => {
    const database = openDatabase(':memory:');
    const table = new SqliteTable({ database, name: 'test' });
    await table.putAll([{ pk: 'a', sk: 'b', n: 1 }]);
    const rename = (item: Item) => ({ ...item, sk: 'c', n: 2 });
    await expect(upgradeRows(database, { table: 'test', upgrade: rename })).rejects.toThrow(
      'an upgrade changes sk of a b',
    );
    expect(await table.get({ pk: 'a', sk: 'b' })).toEqual({ pk: 'a', sk: 'b', n: 1 });
  });
});
