import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { serveTasks, type WorkerTask } from '../../platform/embedded/task-worker.ts';
import type { Value } from '../../platform/ports/table.ts';
import type { TaskOrder, WorkerNote } from './workflow-world.ts';

/** Does as its payload says and notes in a file when. */
serveTasks(async (task) => {
  const order = task.payload as unknown as TaskOrder;
  const note = (event: WorkerNote['event']) => {
    const line: WorkerNote = {
      event,
      state: task.state,
      item: order.item ?? null,
      at: Date.now(),
      ...(order.token ? { token: order.token } : {}),
    };
    appendFileSync(workerData.notes, `${JSON.stringify(line)}\n`);
  };
  note('start');
  task.signal.addEventListener('abort', () => note('signal'));
  try {
    return await obey(task, order);
  } finally {
    note('end');
  }
});

async function obey({ workflow, state, payload, deadline, signal }: WorkerTask, order: TaskOrder): Promise<Value> {
  const failing = order.failItem === undefined || order.failItem === order.item;
  if (order.do === 'fail' && failing)
    throw Object.assign(new Error(order.message ?? 'told to fail'), { name: order.name ?? 'Error' });
  if (order.do === 'exit' && failing) process.exit(7);
  if (order.do === 'exhaust') {
    // In small pieces: V8 ends a thread that runs full, but the process when too much comes at once.
    let hoard: Value = null;
    for (;;) hoard = { hoard };
  }
  // Deaf to its signal, and to everything else.
  if (order.do === 'spin') for (const until = Date.now() + (order.ms ?? 0); Date.now() < until; );
  else if (order.ms) await sleep(order.ms, undefined, { signal });
  if (order.do === 'swell') return 'x'.repeat(300_000);
  return { workflow, state, payload, remainingMs: deadline.getTime() - Date.now() };
}
