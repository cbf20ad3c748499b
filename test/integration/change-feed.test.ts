import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ChangeFeed } from '../../platform/embedded/change-feed.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { changesTableOf, SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import type { Change, ChangeConsumer } from '../../platform/ports/table.ts';
import { accountKey, counterKey, workInThread } from '../support/table-crowd.ts';
import { silentLog } from '../support/workflow-world.ts';

function newFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'changes-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'test.db');
}

function openWorld(file = ':memory:') {
  const database = openDatabase(file);
  const table = new SqliteTable({ database, name: 'test', changes: true });
  const feeds: ChangeFeed[] = [];
  onTestFinished(async () => {
    await Promise.all(feeds.map((feed) => feed.stop()));
    database.close();
  });
  return {
    database,
    table,
    openFeed(consumers: Record<string, ChangeConsumer>, maxTries?: number) {
      const feed = new ChangeFeed({ database, table: 'test', consumers, maxTries, log: silentLog });
      feeds.push(feed);
      return feed;
    },
    put: (...sks: string[]) => table.putAll(sks.map((sk) => ({ pk: 'p', sk }))),
    kept: () => database.prepare(`SELECT count(*) AS n FROM ${changesTableOf('test')}`).get()?.n,
  };
}

/** A consumer that keeps what it was given and what it took, and fails as long as it is told to. */
function collector(fails: (changes: readonly Change[]) => boolean = () => false) {
  const tries: string[][] = [];
  const taken: Change[] = [];
  const consumer: ChangeConsumer = async (changes) => {
    tries.push(changes.map(({ key }) => key.sk));
    if (fails(changes)) throw new Error('not now');
    taken.push(...changes);
    return undefined;
  };
  return { tries, taken, consumer, sks: () => taken.map(({ key }) => key.sk) };
}

const numbered = (count: number) => Array.from({ length: count }, (_, n) => String(n).padStart(5, '0'));

describe('a change feed', () => {
  it('delivers in the order of the commits, batch by batch, and deletes what all consumers have', async () => {
    const { openFeed, put, kept } = openWorld();
    const [one, other] = [collector(), collector()];
    const feed = openFeed({ one: one.consumer, other: other.consumer });
    const sks = numbered(1_234);
    await put(...sks);
    await feed.drain();
    expect(one.sks()).toEqual(sks);
    expect(other.sks()).toEqual(sks);
    expect(Math.max(...one.tries.map(({ length }) => length))).toBe(100);
    expect(kept()).toBe(0);
    await put('z');
    await feed.drain();
    expect(one.taken.at(-1)).toMatchObject({ key: { pk: 'p', sk: 'z' }, after: { pk: 'p', sk: 'z' } });
    const seqs = one.taken.map(({ seq }) => seq);
    expect([...seqs].sort()).toEqual(seqs);
  });

  it('delivers right after a commit', async () => {
    const { openFeed, put } = openWorld();
    const { consumer, taken } = collector();
    openFeed({ one: consumer }).start();
    const begun = Date.now();
    for (let n = 1; n <= 20; n += 1) {
      await put(String(n));
      await vi.waitFor(() => expect(taken.length).toBe(n), { interval: 1, timeout: 5_000 });
    }
    // By polling alone it would take 20 s.
    expect(Date.now() - begun).toBeLessThan(10_000);
  });

  it('delivers the commits of other threads, right after them', async () => {
    const file = newFile();
    const { openFeed, table } = openWorld(file);
    await table.write({ op: 'put', item: { ...counterKey('p'), n: 0 } });
    await table.putAll([0, 1, 2, 3].map((n) => ({ ...accountKey('p', n), balance: 10 })));
    const { consumer, taken } = collector();
    // Without its poll, nothing but a commit has the feed look.
    const poll = vi.spyOn(globalThis, 'setInterval').mockReturnValueOnce(undefined as never);
    openFeed({ one: consumer }).start();
    expect(poll).toHaveBeenCalledTimes(1);
    poll.mockRestore();
    const count = () => taken.filter(({ key }) => key.sk === 'counter').length;
    for (let round = 1; round <= 2; round += 1) {
      await Promise.all(
        ['a', 'b'].map((client) => workInThread(file, { pk: 'p', client: `${client}${round}`, times: 10 })),
      );
      await vi.waitFor(() => expect(count()).toBe(1 + 20 * round), { interval: 1, timeout: 5_000 });
    }
    for (const sk of ['counter', accountKey('p', 0).sk]) {
      const changes = taken.filter(({ key }) => key.sk === sk);
      for (const [index, { before }] of changes.slice(1).entries()) expect(before).toEqual(changes[index]?.after);
    }
  });

  it('tries again what a consumer threw at, in order, and holds up no other consumer', async () => {
    const { openFeed, put, kept } = openWorld();
    let failures = 3;
    const failing = collector(() => failures-- > 0);
    const healthy = collector();
    const feed = openFeed({ failing: failing.consumer, healthy: healthy.consumer });
    const sks = numbered(8);
    await put(...sks);
    feed.start();
    await vi.waitFor(() => expect(healthy.sks()).toEqual(sks), 10_000);
    expect(failing.taken).toEqual([]);
    expect(kept()).toBe(8);
    await feed.drain();
    expect(failing.tries.map(({ length }) => length)).toEqual([8, 4, 2, 1, 2, 4, 1]);
    expect(failing.sks()).toEqual(sks);
    expect(kept()).toBe(0);
  });

  it('goes on with the change that a consumer names', async () => {
    const { openFeed, put } = openWorld();
    const given: string[][] = [];
    const feed = openFeed({
      one: async (changes) => {
        given.push(changes.map(({ key }) => key.sk));
        const wanted = changes.find(({ key }) => key.sk === 'c');
        return wanted && given.length === 1 ? { retryFrom: wanted.seq } : undefined;
      },
    });
    await put('a', 'b', 'c', 'd');
    await feed.drain();
    expect(given).toEqual([
      ['a', 'b', 'c', 'd'],
      ['c', 'd'],
    ]);
  });

  it('passes over a change that fails again and again, and keeps it', async () => {
    const { openFeed, put, database, kept } = openWorld();
    const { consumer, sks, tries } = collector((changes) => changes.some(({ key }) => key.sk === 'c'));
    const feed = openFeed({ one: consumer }, 2);
    await put('a', 'b', 'c', 'd', 'e');
    await feed.drain();
    expect(sks()).toEqual(['a', 'b', 'd', 'e']);
    expect(tries.filter((batch) => batch.join() === 'c').length).toBe(2);
    const dead = database.prepare('SELECT consumer, body, error FROM dead_changes').all();
    expect(dead).toMatchObject([{ consumer: 'one', error: 'Error: not now' }]);
    expect(JSON.parse(String(dead[0]?.body))).toMatchObject({ key: { pk: 'p', sk: 'c' } });
    expect(kept()).toBe(0);
  });

  it('stops when the delivery that runs has ended, and goes on where it was', async () => {
    const { openFeed, put } = openWorld();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { consumer, sks, tries } = collector();
    const feed = openFeed({
      one: async (changes) => {
        await held;
        return consumer(changes);
      },
    });
    const all = numbered(250);
    await put(...all);
    feed.start();
    await turn();
    const stopped = feed.stop();
    release();
    await stopped;
    expect(tries.length).toBe(1);
    await put('z');
    await turn();
    expect(tries.length).toBe(1);
    feed.start();
    await feed.drain();
    expect(sks()).toEqual([...all, 'z']);
  });

  it('stops at once in the pause after a failure', async () => {
    const { openFeed, put } = openWorld();
    const { consumer, tries } = collector(() => true);
    const feed = openFeed({ one: consumer });
    await put('a');
    feed.start();
    const drained = feed.drain();
    // The pause after the fifth failure takes 1.6 s at least.
    await vi.waitFor(() => expect(tries.length).toBe(5), 10_000);
    const begun = Date.now();
    await feed.stop();
    await drained;
    expect(Date.now() - begun).toBeLessThan(1_400);
  });

  it('drains what its own consumers write', async () => {
    const { openFeed, table, put } = openWorld();
    const { consumer, sks } = collector();
    const feed = openFeed({
      writer: async (changes) => {
        for (const { key } of changes)
          if (key.sk.length < 5) await table.write({ op: 'put', item: { pk: 'p', sk: `${key.sk}x` } });
        return undefined;
      },
      reader: consumer,
    });
    await put('x');
    await feed.drain();
    expect(sks()).toEqual(['x', 'xx', 'xxx', 'xxxx', 'xxxxx']);
  });

  it('gives a new consumer what is still kept, and keeps nothing for one that is no more', async () => {
    const { openFeed, put, kept } = openWorld();
    const [old, fresh] = [collector(), collector()];
    await openFeed({ old: old.consumer, slow: collector(() => true).consumer }).stop();
    await put('a', 'b');
    const second = openFeed({ old: old.consumer, fresh: fresh.consumer });
    await put('c');
    await second.drain();
    expect(old.sks()).toEqual(['a', 'b', 'c']);
    expect(fresh.sks()).toEqual(['a', 'b', 'c']);
    expect(kept()).toBe(0);
  });

  it('loses nothing when its process is killed: what was not taken to the end is delivered again', {
    timeout: 60_000,
  }, async () => {
    const file = newFile();
    const script = fileURLToPath(new URL('../support/change-feed-process.ts', import.meta.url));
    const written: number[] = [];
    const taken: number[][] = [];
    for (const lines of [150, 400, 800]) {
      const child = spawn(process.execPath, [script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
      const begun: number[] = [];
      taken.push(begun);
      let left = lines;
      for await (const line of createInterface({ input: child.stdout })) {
        const note = JSON.parse(line) as { written?: number; taken?: number };
        if (note.written !== undefined) written.push(note.written);
        if (note.taken !== undefined) begun.push(note.taken);
        left -= 1;
        if (left === 0) child.kill('SIGKILL');
      }
    }
    const { table, openFeed } = openWorld(file);
    const { consumer, sks } = collector();
    await openFeed({ test: consumer }).drain();
    taken.push(sks().map(Number));

    const last = Math.max(...written);
    for (const n of new Set(written))
      expect(await table.get({ pk: 'p', sk: String(n).padStart(8, '0') })).toBeDefined();
    // A later process overwrites the items of one before without a change; so each number changes once.
    const all = taken.flat();
    expect([...new Set(all)].sort((a, b) => a - b).slice(0, last + 1)).toEqual(
      Array.from({ length: last + 1 }, (_, n) => n),
    );
    for (const run of taken) expect(run).toEqual([...run].sort((a, b) => a - b));
    for (const [index, run] of taken.slice(1).entries())
      expect(run[0]).toBeLessThanOrEqual((taken[index]?.at(-1) ?? 0) + 1);
  });
});
