import type { Context } from 'aws-lambda';
import { openServices } from '#services';
import { task } from '#task';
import type { Value } from '../../platform/ports/table.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { openObjects, openTable } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { createTaskRunner } from './run-task.ts';

// The Lambda of every task: the bundler resolves #task to the task's module, and #services to its context's.

/** What is left for recording a timeout before Lambda ends the process. */
const MARGIN_MS = 5_000;

const log = createLog({ function: `task-${'step' in task ? task.step : 'wait'}` });
const runTask = createTaskRunner({
  table: openTable('jobs'),
  objects: openObjects(),
  clock: systemClock,
  log,
  services: openServices(),
});
// Lambda never tells a running function to stop: it sees so in the ledger.
const { signal } = new AbortController();

export async function handler(payload: unknown, context: Context): Promise<Value> {
  const deadline = new Date(Date.now() + context.getRemainingTimeInMillis() - MARGIN_MS);
  return runTask(task, payload, { runnerId: context.awsRequestId, signal, deadline });
}
