import { readFileSync } from 'node:fs';
import * as z from 'zod/mini';
import { type ContextSpec, consumersOf } from '../contract/context.ts';
import { ROOT_SECRET_PREFIX } from '../contract/keys.ts';
import { LIVE_PROTOCOL } from '../contract/live.ts';
import type { WorkflowEntry } from '../contract/workflow.ts';
import type { Platform } from '../lambdas/runtime/platform.ts';
import { remembered } from '../lambdas/runtime/remembered.ts';
import manifest from '../package.json' with { type: 'json' };
import { openDatabase } from '../platform/embedded/open-database.ts';
import { SqliteTable } from '../platform/embedded/sqlite-table.ts';
import { TaskPool } from '../platform/embedded/task-pool.ts';
import type { Bus } from '../platform/ports/bus.ts';
import { ROOT_SECRET } from '../platform/ports/secrets.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import type { DataFolder } from './data-folder.ts';
import { openLogFile } from './log-file.ts';

/** Where WebSockets are. */
export const LIVE_PATH = '/live';

const ROOT = new URL('../', import.meta.url);

interface TableOptions {
  readonly storedName: string;
  readonly ephemeral: boolean;
  /** Whether its changes are kept for readers. */
  readonly changes: boolean;
}

/** What the platform is made of, as plain data: the threads of tasks open the same one. */
export interface PlatformOptions {
  readonly folder: Omit<DataFolder, 'close'>;
  /** Where clients reach the server. */
  readonly url: string;
  /** Begins the ids of this process's runners of tasks. */
  readonly processId: string;
  /** By context. */
  readonly tables: Readonly<Record<string, TableOptions>>;
  /** The types of events that each context consumes, by context. */
  readonly consumers: Readonly<Record<string, readonly string[]>>;
  readonly workflows: readonly string[];
  /** Modules of tasks, from the repository's root, by `workflow/State`. */
  readonly taskFiles: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What the declarations of contexts and workflows ask of the platform. `published`: contexts whose tables have events. */
export function declaredOptions(
  contexts: readonly ContextSpec[],
  workflows: readonly WorkflowEntry[],
  published: readonly string[],
): Pick<PlatformOptions, 'tables' | 'consumers' | 'workflows' | 'taskFiles'> {
  const tables = contexts.flatMap(({ name, table, feed }) => {
    if (!table) return [];
    const { storedName = name.replaceAll('-', '_'), ephemeral = false } = table;
    return [[name, { storedName, ephemeral, changes: feed !== undefined || published.includes(name) }] as const];
  });
  const taskFiles = workflows.flatMap(({ name, tasks }) =>
    Object.entries(tasks).map(([state, { file }]) => [`${name}/${state}`, file] as const),
  );
  return {
    tables: Object.fromEntries(tables),
    consumers: consumersOf(contexts),
    workflows: workflows.map(({ name }) => name),
    taskFiles: Object.fromEntries(taskFiles),
  };
}

/** Rules of users match events on AWS alone. */
const NO_BUS: Bus = { publish: async () => {} };

export type EmbeddedPlatform = ReturnType<typeof openPlatform>;

/** Opens the platform of the single machine, in the server or in a thread of tasks. `logFields` are in each line of the log. */
export function openPlatform(options: PlatformOptions, logFields: Readonly<Record<string, unknown>> = {}) {
  const { folder, url, processId, settings } = options;
  const log = openLogFile(folder.logFile, logFields);
  const database = openDatabase(folder.database);
  const opened = new Map<string, SqliteTable>();
  const pool = new TaskPool({ workerFile: new URL('task-worker.ts', import.meta.url), workerData: options });
  const timers = new Set<NodeJS.Timeout>();

  function optionsOf(context: string): TableOptions {
    const table = options.tables[context];
    if (!table) throw new Error(`the context ${context} declares no table`);
    return table;
  }

  function openTable(context: string): SqliteTable {
    const { storedName: name, ephemeral, changes } = optionsOf(context);
    return new SqliteTable({ database: ephemeral ? openDatabase(':memory:') : database, name, changes });
  }

  const objects = remembered(async () => {
    const { FileObjectStore } = await import('../platform/embedded/file-object-store.ts');
    const signingKey = Buffer.from(folder.secrets.signing_key, 'base64url');
    return new FileObjectStore({ folder: folder.objects, database, baseUrl: () => url, signingKey, clock });
  });

  return {
    clock,
    log,
    database,
    pool,
    /** The name under which a context's table is stored. */
    tableName: (context: string) => optionsOf(context).storedName,
    async table(context: string) {
      const table = opened.get(context) ?? openTable(context);
      opened.set(context, table);
      return table;
    },
    objects,
    signedObjects: objects,
    bus: async () => NO_BUS,
    consumers: () => options.consumers,
    queue: remembered(async (name: string) => {
      const { SqliteQueue } = await import('../platform/embedded/sqlite-queue.ts');
      return new SqliteQueue({ database, name, log });
    }),
    workflows: remembered(async () => {
      const { LocalWorkflows } = await import('../platform/embedded/local-workflows.ts');
      return new LocalWorkflows({ database, definitions: readDefinitions(options.workflows), pool, log, clock });
    }),
    secrets: remembered(async () => {
      const { FileSecrets } = await import('../platform/embedded/file-secrets.ts');
      const random = folder.secrets.root_secret.slice(ROOT_SECRET_PREFIX.length);
      return new FileSecrets({ folder: folder.secretsFolder, deployed: { [ROOT_SECRET]: random } });
    }),
    push: remembered(async () => {
      const { WsPush } = await import('../platform/embedded/ws-push.ts');
      return new WsPush({ protocol: LIVE_PROTOCOL, log });
    }),
    settings: <Shape extends z.core.$ZodShape>(shape: Shape) => z.object(shape).parse(settings),
    version: () => manifest.version,
    webSocketUrl: () => `${url.replace(/^http/, 'ws')}${LIVE_PATH}`,
    acceptsRootSecret: true,
    later(ms: number, run: () => Promise<void>) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        run().catch((error: unknown) => log.error('what was to be done later failed', { error }));
      }, ms);
      timers.add(timer);
    },
    isRunnerAlive(runnerId: string) {
      const [process, runId = ''] = runnerId.split(':');
      return process === processId && pool.isRunning(runId);
    },

    /** Deletes the rows whose time is over, which DynamoDB does by itself. */
    async purgeExpired() {
      for (const table of opened.values()) await table.purgeExpired(clock.now());
    },
    /** Cancels what was to be done later, and closes the database. */
    [Symbol.dispose]() {
      for (const timer of timers) clearTimeout(timer);
      database.close();
    },
  } satisfies Platform & Disposable & Record<string, unknown>;
}

/** The URL of a task's module, by `workflow/State`. */
export function taskModule({ taskFiles }: PlatformOptions, task: string): string | undefined {
  const file = taskFiles[task];
  return file === undefined ? undefined : new URL(file, ROOT).href;
}

function readDefinitions(workflows: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    workflows.map((name) => {
      const file = new URL(`statemachines/${name}.asl.json`, ROOT);
      return [name, JSON.parse(readFileSync(file, 'utf8')) as unknown];
    }),
  );
}
