import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteQueue } from '../../platform/embedded/sqlite-queue.ts';
import type { QueueConsumer } from '../../platform/ports/queue.ts';
import { silentLog } from '../support/workflow-world.ts';

function newFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'queue-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'test.db');
}

type Options = { maxReceives?: number; visibilityMs?: number };

function openQueue(database: DatabaseSync, options: Options = {}): SqliteQueue {
  const queue = new SqliteQueue({ database, name: 'test', log: silentLog, ...options });
  onTestFinished(() => queue.stop());
  return queue;
}

function collector(fails = () => false) {
  const tries: string[] = [];
  const taken: string[] = [];
  const consumer: QueueConsumer = async (messages) => {
    const ids = messages.map(({ id }) => id);
    tries.push(...ids);
    if (fails()) throw new Error('not now');
    taken.push(...ids);
    return undefined;
  };
  return { tries, taken, consumer };
}

const numbered = (count: number) => Array.from({ length: count }, (_, n) => ({ id: `e${n}` }));

const neverPolls = () => {
  const real = globalThis.setTimeout;
  // Without its timer, nothing but a notice has the queue look.
  const timer = vi
    .spyOn(globalThis, 'setTimeout')
    .mockImplementation(((run: () => void, ms: number) =>
      ms === 1_000 ? real(() => {}, 0) : real(run, ms)) as typeof setTimeout);
  onTestFinished(() => timer.mockRestore());
};

describe('a queue in SQLite', () => {
  it('delivers right after a send, in this thread and from another', async () => {
    neverPolls();
    const databaseFile = newFile();
    const queue = openQueue(openDatabase(databaseFile));
    const { taken, consumer } = collector();
    queue.start(consumer);
    const sender = new Worker(new URL('../support/queue-sender.ts', import.meta.url), { workerData: { databaseFile } });
    onTestFinished(async () => void (await sender.terminate()));
    await once(sender, 'message');
    for (let n = 0; n < 10; n += 2) {
      await queue.send([{ id: `here-${n}` }]);
      await vi.waitFor(() => expect(taken.length).toBe(n + 1), { interval: 1, timeout: 5_000 });
      sender.postMessage(`there-${n}`);
      await vi.waitFor(() => expect(taken.length).toBe(n + 2), { interval: 1, timeout: 5_000 });
    }
  });

  it('waits longer from failure to failure, and delivers other messages meanwhile', async () => {
    // Full jitter: from nothing up to these.
    vi.spyOn(Math, 'random').mockReturnValue(1);
    onTestFinished(() => void vi.restoreAllMocks());
    const queue = openQueue(openDatabase(':memory:'));
    const times: number[] = [];
    const taken: string[] = [];
    queue.start(async (messages) => {
      const poison = messages.some(({ id }) => id === 'poison');
      taken.push(...messages.map(({ id }) => id).filter((id) => id !== 'poison'));
      if (poison) times.push(Date.now());
      return poison && times.length < 4 ? { retry: ['poison'] } : undefined;
    });
    await queue.send([{ id: 'poison' }]);
    await vi.waitFor(() => expect(times.length).toBe(2), { timeout: 5_000 });
    await queue.send([{ id: 'other' }]);
    await vi.waitFor(() => expect(taken).toEqual(['other']), { timeout: 5_000 });
    expect(times.length).toBe(2);
    await queue.drain();
    const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    for (const [index, atLeast] of [200, 400, 800].entries()) expect(pauses[index]).toBeGreaterThanOrEqual(atLeast - 5);
  });

  it('renews the claim of a consumer that takes long, so that no other gets its messages', async () => {
    const database = openDatabase(':memory:');
    const slow = openQueue(database, { visibilityMs: 150 });
    const other = openQueue(database, { visibilityMs: 150 });
    const seen: string[] = [];
    slow.start(async (messages) => {
      seen.push(...messages.map(({ id }) => id));
      await pause(800);
      return undefined;
    });
    await slow.send(numbered(3));
    await vi.waitFor(() => expect(seen.length).toBe(3));
    const { tries, consumer } = collector();
    other.start(consumer);
    await slow.drain();
    expect(tries).toEqual([]);
    expect(seen.length).toBe(3);
  });

  it('makes a dead letter of a message whose consumers have all died', async () => {
    const database = openDatabase(':memory:');
    const queue = openQueue(database, { maxReceives: 2, visibilityMs: 100 });
    await queue.send([{ id: 'deadly' }]);
    // As consumers leave it that were killed in its second delivery.
    database.exec('UPDATE queue_messages SET receives = 2, visible_at = 1');
    const { tries, consumer } = collector();
    queue.start(consumer);
    await queue.drain();
    expect(tries).toEqual([]);
    const rows = database.prepare('SELECT id, dead, error FROM queue_messages').all();
    expect(rows).toEqual([{ id: 'deadly', dead: 1, error: 'its consumer died' }]);
  });

  it('stops when the deliveries that run have ended, and begins no more', async () => {
    const queue = openQueue(openDatabase(':memory:'));
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { taken, consumer } = collector();
    await queue.send(numbered(100));
    queue.start(async (messages) => {
      await held;
      return consumer(messages);
    });
    const stopped = queue.stop();
    release();
    await stopped;
    expect(taken.length).toBe(40);
    queue.start(consumer);
    await queue.drain();
    expect(new Set(taken).size).toBe(100);
    expect(taken.length).toBe(100);
  });

  it('keeps apart the messages of queues in one database', async () => {
    const database = openDatabase(':memory:');
    const [one, other] = ['one', 'other'].map((name) => new SqliteQueue({ database, name, log: silentLog }));
    const { taken, consumer } = collector();
    one?.start(consumer);
    await other?.send([{ id: 'of the other' }]);
    await one?.send([{ id: 'of the one' }]);
    await one?.drain();
    await one?.stop();
    expect(taken).toEqual(['of the one']);
  });

  it('has every message that was sent when its process is killed, and delivers again what was not taken to the end', {
    timeout: 60_000,
  }, async () => {
    const file = newFile();
    const script = fileURLToPath(new URL('../support/queue-process.ts', import.meta.url));
    const sent = new Set<string>();
    const taken = new Set<string>();
    for (const [run, messages] of [30, 75, 150].entries()) {
      const args = [script, file, `run${run}-`, String(messages)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      for await (const line of createInterface({ input: child.stdout })) {
        const note = JSON.parse(line) as { sent?: string; taken?: string; held?: number };
        if (note.sent !== undefined) sent.add(note.sent);
        if (note.taken !== undefined) taken.add(note.taken);
        if (note.held !== undefined) child.kill('SIGKILL');
      }
    }
    const queue = openQueue(openDatabase(file), { visibilityMs: 500 });
    const rest = collector();
    queue.start(rest.consumer);
    await queue.drain();
    // Those whose claim its last process held are among the rest.
    for (const id of sent) expect(taken.has(id) || rest.taken.includes(id), id).toBe(true);
    expect(rest.taken.length).toBeGreaterThan(0);
  });
});
