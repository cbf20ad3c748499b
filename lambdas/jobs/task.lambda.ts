import type { Context } from 'aws-lambda';
import { open } from '#hooks';
import { task } from '#task';
import type { Value } from '../../platform/ports/table.ts';
import { openAwsPlatform } from '../runtime/aws-platform.ts';
import { createTaskRunner } from './run-task.ts';

// The Lambda of every task: the bundler resolves #task to the task's module, and #hooks to those of its workflow's context.

/** What is left for recording a timeout before Lambda ends the process. */
const MARGIN_MS = 5_000;

const platform = openAwsPlatform(`task-${'step' in task ? task.step : 'wait'}`);
const [table, objects, services] = await Promise.all([
  platform.table('jobs'),
  platform.objects(),
  open(platform).services?.(),
]);
const runTask = createTaskRunner({
  table,
  objects,
  clock: platform.clock,
  log: platform.log,
  services: async () => services,
});
// Lambda never tells a running function to stop: it sees so in the ledger.
const { signal } = new AbortController();

export async function handler(payload: unknown, context: Context): Promise<Value> {
  const deadline = new Date(Date.now() + context.getRemainingTimeInMillis() - MARGIN_MS);
  return runTask(task, payload, { runnerId: context.awsRequestId, signal, deadline });
}
