import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { TaskPool } from '../../platform/embedded/task-pool.ts';

it('gives no task to a thread that is just ending because it had none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'task-pool-'));
  const pool = new TaskPool({
    workerFile: new URL('../support/workflow-worker.ts', import.meta.url),
    workerData: { notes: join(folder, 'notes') },
    threads: 1,
    idleMs: 5,
  });
  onTestFinished(async () => {
    await pool.close();
    rmSync(folder, { recursive: true });
  });
  const task = { workflow: 'w', state: 's', payload: {}, signal: new AbortController().signal, timeoutMs: 60_000 };
  for (let run = 0; run < 4; run += 1) {
    expect(await pool.run(task)).toMatchObject({ state: 's' });
    // As long as the thread rests, whose timer began before.
    await sleep(5);
  }
});
