import { setTimeout as sleep } from 'node:timers/promises';
import { serveTasks } from '../platform/embedded/task-worker.ts';

// A task without a ledger: waits as long as the execution's input says.

serveTasks(async ({ payload }) => {
  const { job } = payload as { job: { work_ms: number } };
  if (job.work_ms > 0) await sleep(job.work_ms);
  return {};
});
