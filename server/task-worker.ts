import { workerData } from 'node:worker_threads';
import { DomainError } from '../contract/errors.ts';
import type { MarketplaceSettings } from '../contract/publishing.ts';
import { createTaskRunner } from '../lambdas/jobs/run-task.ts';
import type { TaskDefinition, WaitDefinition } from '../lambdas/jobs/task-api.ts';
import type { PublishingServices } from '../lambdas/publishing/deps.ts';
import { FileObjectStore } from '../platform/embedded/file-object-store.ts';
import { FileSecrets } from '../platform/embedded/file-secrets.ts';
import { openDatabase } from '../platform/embedded/open-database.ts';
import { SqliteTable } from '../platform/embedded/sqlite-table.ts';
import { serveTasks } from '../platform/embedded/task-worker.ts';
import { systemClock } from '../platform/system-clock.ts';
import { openLogFile } from './log-file.ts';

/** What a worker thread needs to run tasks beside the others. */
export interface TaskWorkerData {
  readonly databaseFile: string;
  readonly objectsFolder: string;
  readonly logFile: string;
  readonly secretsFolder: string;
  readonly marketplaces: MarketplaceSettings;
  /** Begins the ids of this process's runners. */
  readonly processId: string;
  /** URLs of task modules, by `workflow/State`. */
  readonly modules: Readonly<Record<string, string>>;
}

const { databaseFile, objectsFolder, logFile, secretsFolder, marketplaces, processId, modules } =
  workerData as TaskWorkerData;
const database = openDatabase(databaseFile);
const runTask = createTaskRunner({
  table: new SqliteTable({ database, name: 'jobs', changes: true }),
  objects: new FileObjectStore({
    folder: objectsFolder,
    database,
    baseUrl: () => {
      throw new Error('tasks sign no URLs');
    },
    signingKey: new Uint8Array(),
    clock: systemClock,
  }),
  clock: systemClock,
  log: openLogFile(logFile, { function: 'task' }),
  services: {
    publishing: {
      table: new SqliteTable({ database, name: 'publishing' }),
      secrets: new FileSecrets({ folder: secretsFolder }),
      clock: systemClock,
      marketplaces,
    } satisfies PublishingServices,
  },
});

serveTasks(async ({ workflow, state, payload, runId, deadline, signal }) => {
  const module = modules[`${workflow}/${state}`];
  if (!module) throw new DomainError('InternalError', `no task of ${workflow} runs the state ${state}`);
  const { task } = (await import(module)) as { task: TaskDefinition | WaitDefinition };
  return runTask(task, payload, { runnerId: `${processId}:${runId}`, signal, deadline });
});
