import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { vi } from 'vitest';
import { createLog } from '../../lambdas/runtime/log.ts';
import { LocalWorkflows } from '../../platform/embedded/local-workflows.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { TaskPool } from '../../platform/embedded/task-pool.ts';
import type { ExecutionEnded, Workflows } from '../../platform/ports/workflows.ts';
import { systemClock } from '../../platform/system-clock.ts';

/** What a task of the test worker is to do. */
export interface TaskOrder {
  readonly do?: 'echo' | 'fail' | 'spin' | 'exit' | 'exhaust' | 'swell';
  readonly item?: number;
  /** Before it is done, or how long it spins. */
  readonly ms?: number;
  /** Fails or exits for this item alone. */
  readonly failItem?: number;
  readonly name?: string;
  readonly message?: string;
  /** Of a state that waits for it: noted. */
  readonly token?: string;
}

export interface WorkerNote {
  readonly event: 'start' | 'signal' | 'end';
  readonly state: string;
  readonly item: number | null;
  readonly at: number;
  readonly token?: string;
}

export const silentLog = createLog({}, () => {});

/** `LocalWorkflows` with the test worker, and what it was told and noted. */
export interface LocalWorld {
  readonly workflows: LocalWorkflows;
  readonly database: DatabaseSync;
  /** The executions told as ended, in order. */
  readonly ended: { workflow: string; name: string; at: number }[];
  notes(): WorkerNote[];
  close(): Promise<void>;
}

export function openLocalWorld(options: {
  definitions: Readonly<Record<string, unknown>>;
  database?: DatabaseSync;
  onEnded?: ExecutionEnded;
}): LocalWorld {
  const folder = mkdtempSync(join(tmpdir(), 'workflows-'));
  const file = join(folder, 'notes');
  const database = options.database ?? openDatabase(':memory:');
  const ended: LocalWorld['ended'] = [];
  const pool = new TaskPool({
    workerFile: new URL('./workflow-worker.ts', import.meta.url),
    workerData: { notes: file },
    threads: 2,
    heapMiB: 64,
  });
  const workflows = new LocalWorkflows({
    database,
    definitions: options.definitions,
    pool,
    log: silentLog,
    clock: systemClock,
  });
  workflows.recover(async (execution) => {
    await options.onEnded?.(execution);
    ended.push({ ...execution, at: Date.now() });
  });
  return {
    workflows,
    database,
    ended,
    notes: () => readNotes(file),
    close: async () => {
      await workflows.close();
      await pool.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function readNotes(file: string): WorkerNote[] {
  try {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}

/** Polls until an execution has ended and answers what it became. */
export async function ending(workflows: Workflows, workflow: string, name: string, timeout = 15_000) {
  return vi.waitFor(
    async () => {
      const found = await workflows.describe({ workflow, name });
      if (!found || found.state === 'running') throw new Error(`${name} has not ended`);
      return found;
    },
    { timeout, interval: 20 },
  );
}
