import { workerData } from 'node:worker_threads';
import { DomainError } from '../contract/errors.ts';
import { createTaskRunner, type TaskDefinition, type WaitDefinition } from '../lambdas/jobs/public.ts';
import { openHooks } from '../lambdas/runtime/open-hooks.ts';
import { remembered } from '../lambdas/runtime/remembered.ts';
import { serveTasks } from '../platform/embedded/task-worker.ts';
import { openPlatform, type PlatformOptions, taskModule } from './platform.ts';

const options = workerData as PlatformOptions;
const platform = openPlatform(options, { function: 'task' });
const runTask = createTaskRunner({
  table: await platform.table('jobs'),
  objects: await platform.objects(),
  clock: platform.clock,
  log: platform.log,
  services: remembered(async (context: string) => (await openHooks(context, platform)).services?.()),
});

serveTasks(async ({ workflow, state, payload, runId, deadline, signal }) => {
  const module = taskModule(options, `${workflow}/${state}`);
  if (!module) throw new DomainError('InternalError', `no task of ${workflow} runs the state ${state}`);
  const { task } = (await import(module)) as { task: TaskDefinition | WaitDefinition };
  return runTask(task, payload, { runnerId: `${options.processId}:${runId}`, signal, deadline });
});
