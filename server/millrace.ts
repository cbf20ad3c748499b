import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIVE_PROTOCOL } from '../contract/live.ts';
import type { MarketplaceSettings } from '../contract/publishing.ts';
import { routes } from '../contract/routes.ts';
import type { Quotas } from '../contract/uploads.ts';
import type { WorkflowEntry } from '../contract/workflow.ts';
import * as entries from '../contract/workflows.ts';
import { createIdentityHandlers } from '../lambdas/identity/handlers.ts';
import { createAuthenticator, createKeyStore, type JwtIssuer, type KeyStore } from '../lambdas/identity/public.ts';
import { consumeJobChanges } from '../lambdas/jobs/changes.ts';
import { createJobsHandlers, type JobsDeps } from '../lambdas/jobs/handlers.ts';
import { reconcileJobs } from '../lambdas/jobs/reconcile.ts';
import { settleExecution } from '../lambdas/jobs/settle.ts';
import { forgetConnection, openConnection } from '../lambdas/live/connections.ts';
import { createLiveHandlers } from '../lambdas/live/handlers.ts';
import { handleMessage } from '../lambdas/live/messages.ts';
import { publishEvents } from '../lambdas/live/publish-events.ts';
import { createPublishingHandlers } from '../lambdas/publishing/handlers.ts';
import { completePublishingInput } from '../lambdas/publishing/products.ts';
import { createHttpApi } from '../lambdas/runtime/http.ts';
import { publishUploadChanges } from '../lambdas/uploads/changes.ts';
import { findFile } from '../lambdas/uploads/files.ts';
import { createUploadsHandlers } from '../lambdas/uploads/handlers.ts';
import { sweepUploads } from '../lambdas/uploads/sweep.ts';
import { createWebhooksHandlers } from '../lambdas/webhooks/handlers.ts';
import { queueDeliveries } from '../lambdas/webhooks/public.ts';
import { sendDue, sendNew } from '../lambdas/webhooks/send-deliveries.ts';
import manifest from '../package.json' with { type: 'json' };
import { ChangeFeed } from '../platform/embedded/change-feed.ts';
import { FileObjectStore } from '../platform/embedded/file-object-store.ts';
import { FileSecrets } from '../platform/embedded/file-secrets.ts';
import { LocalWorkflows } from '../platform/embedded/local-workflows.ts';
import { objectsHttpHandler } from '../platform/embedded/objects-http.ts';
import { openDatabase } from '../platform/embedded/open-database.ts';
import { SqliteBus } from '../platform/embedded/sqlite-bus.ts';
import { SqliteTable } from '../platform/embedded/sqlite-table.ts';
import { TaskPool } from '../platform/embedded/task-pool.ts';
import { TimerSchedule } from '../platform/embedded/timer-schedule.ts';
import { WsPush } from '../platform/embedded/ws-push.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { openDataFolder } from './data-folder.ts';
import { createRequestListener, type Listening, listen } from './http.ts';
import { createUpgradeListener, LIVE_PATH } from './live-socket.ts';
import { openLogFile, rotateLogFile } from './log-file.ts';
import type { TaskWorkerData } from './task-worker.ts';
import { upgradeData } from './upgrade-data.ts';

/** How often jobs are looked after that lost their thread or their event: it bounds how long they hang. */
const RECONCILE_EVERY_SECONDS = 2;
/** How often messages to webhooks are looked for that are to be tried again. */
const SEND_EVERY_SECONDS = 2;
const SWEEP_EVERY_SECONDS = 60;
const PURGE_EVERY_SECONDS = 3_600;

const ROOT = new URL('../', import.meta.url);

export interface MillraceOptions {
  /** Folder of all data; made when it is missing. */
  readonly data: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly host: string;
  /** Where clients reach the server, when that is not where it listens. */
  readonly publicUrl?: string | undefined;
  readonly jwt?: readonly JwtIssuer[];
  readonly runningJobsPerTenant: number;
  /** Before a job's first automatic retry; each further one waits twice as long. */
  readonly retryDelaySeconds: number;
  /** Of every tenant that has none of its own. */
  readonly quotas: Quotas;
  /** For how long deleted files can be restored; 0: they can't. */
  readonly deletedFileDays: number;
  readonly marketplaces: MarketplaceSettings;
  /** Whether webhooks may lead to addresses that are not public, and by http. */
  readonly webhooksToPrivate: boolean;
}

export interface RunningMillrace {
  readonly url: string;
  readonly keys: KeyStore;
  /** Ends running tasks and takes no more requests; the next start goes on where this one was. */
  close(): Promise<void>;
}

/** Starts the single-machine edition: all contexts in this process on the embedded platform, tasks in threads beside it. */
export async function startMillrace(options: MillraceOptions): Promise<RunningMillrace> {
  const folder = openDataFolder(options.data);
  const logFile = join(folder.path, 'server.log');
  rotateLogFile(logFile);
  const log = openLogFile(logFile, {});
  const database = openDatabase(folder.database);
  await upgradeData(folder, { database, log });
  const identityTable = new SqliteTable({ database, name: 'identity' });
  const uploadsTable = new SqliteTable({ database, name: 'uploads', changes: true });
  const jobsTable = new SqliteTable({ database, name: 'jobs', changes: true });
  const publishingTable = new SqliteTable({ database, name: 'publishing' });
  const secrets = new FileSecrets({ folder: folder.secretsFolder });
  const webhooksTable = new SqliteTable({ database, name: 'live', changes: true });
  // They end with this process.
  const connections = new SqliteTable({ database: openDatabase(':memory:'), name: 'connections' });
  let url = options.publicUrl ?? '';
  const objects = new FileObjectStore({
    folder: folder.objects,
    database,
    baseUrl: () => url,
    signingKey: Buffer.from(folder.secrets.signing_key, 'base64url'),
    clock,
  });
  const { damagedKeys, ...objectsReport } = await objects.reconcile();
  if (damagedKeys.length > 0) log.error('objects lack files', { keys: damagedKeys });
  log.info('object store is in order', { ...objectsReport });

  const processId = clock.newId();
  const workerData: TaskWorkerData = {
    databaseFile: folder.database,
    objectsFolder: folder.objects,
    logFile,
    secretsFolder: folder.secretsFolder,
    marketplaces: options.marketplaces,
    processId,
    modules: taskModules(entries),
  };
  const pool = new TaskPool({ workerFile: new URL('./task-worker.ts', import.meta.url), workerData });
  const bus = new SqliteBus({ database, log });
  const workflows = new LocalWorkflows({
    database,
    definitions: readDefinitions(entries),
    pool,
    onEnded: (execution) => onEnded(execution),
    log,
    clock,
  });
  const { quotas, deletedFileDays } = options;
  const uploads = { table: uploadsTable, objects, clock, log, quotas, deletedFileDays };
  const timers = new Set<NodeJS.Timeout>();
  const later = (ms: number, run: () => Promise<void>) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      run().catch((error: unknown) => log.error('what was to be done later failed', { error }));
    }, ms);
    timers.add(timer);
  };
  const jobs: JobsDeps = {
    table: jobsTable,
    objects,
    workflows,
    bus,
    clock,
    log,
    findFile: (tenantId, fileId) => findFile(uploads, tenantId, fileId),
    contexts: {
      publishing: (tenantId, input) => completePublishingInput({ table: publishingTable }, tenantId, input),
    },
    entries,
    later,
    runningLimit: options.runningJobsPerTenant,
    retryDelaySeconds: options.retryDelaySeconds,
  };
  const publishing = { table: publishingTable, secrets, workflows, objects, clock, findFile: jobs.findFile };
  const onEnded = settleExecution(jobs);
  const runnersAlive = (runnerId: string) => {
    const [process, runId = ''] = runnerId.split(':');
    return process === processId && pool.isRunning(runId);
  };
  const purgeExpired = async () => {
    for (const table of [uploadsTable, jobsTable, publishingTable, webhooksTable, connections])
      await table.purgeExpired(clock.now());
  };
  const sweep = async () => {
    const { orphaned } = await sweepUploads(uploads);
    if (orphaned) log.info('orphaned', { ...orphaned });
  };
  const reconcile = async () => void (await reconcileJobs(jobs, { runnersAlive }));

  const push = new WsPush({
    protocol: LIVE_PROTOCOL,
    listener: () => ({
      onMessage: (connectionId, text) => handleMessage(live, connectionId, text),
      onClose: (connectionId) => forgetConnection(live, connectionId),
    }),
    log,
  });
  const live = { connections, jobs: jobsTable, uploads: uploadsTable, push, clock, log };
  const webhooks = { table: webhooksTable, secrets, clock, log, allowPrivate: options.webhooksToPrivate };
  const publish = publishEvents(live, queueDeliveries(webhooks));
  const ofUploads = { uploads: publishUploadChanges({ table: uploadsTable, bus, clock, log }), live: publish };
  const ofJobs = { jobs: consumeJobChanges(jobs), live: publish };
  const feeds = [
    new ChangeFeed({ database, table: 'uploads', consumers: ofUploads, log }),
    new ChangeFeed({ database, table: 'jobs', consumers: ofJobs, log }),
    new ChangeFeed({ database, table: 'live', consumers: { webhooks: sendNew(webhooks) }, log }),
  ];
  const schedule = new TimerSchedule({
    runs: [
      { name: 'reconcile-jobs', everySeconds: RECONCILE_EVERY_SECONDS, run: reconcile },
      { name: 'send-webhooks', everySeconds: SEND_EVERY_SECONDS, run: () => sendDue(webhooks) },
      { name: 'sweep-uploads', everySeconds: SWEEP_EVERY_SECONDS, run: sweep },
      { name: 'purge-expired', everySeconds: PURGE_EVERY_SECONDS, run: purgeExpired },
    ],
    log,
  });

  const keys = createKeyStore({ table: identityTable, clock });
  const rootSecret = async () => folder.secrets.root_secret;
  const authenticate = createAuthenticator({ keys, rootSecret, jwt: options.jwt ?? [], clock, log });
  const api = createHttpApi({
    routes,
    handlers: {
      ...createIdentityHandlers({ keys, clock, version: manifest.version }),
      ...createUploadsHandlers(uploads),
      ...createJobsHandlers(jobs),
      ...createPublishingHandlers(publishing),
      ...createLiveHandlers({ websocketUrl: () => `${url.replace(/^http/, 'ws')}${LIVE_PATH}` }),
      ...createWebhooksHandlers(webhooks),
    },
    authenticate,
    log,
  });
  const listener = createRequestListener({ api, objects: objectsHttpHandler(objects), log });
  const open = (connection: { connectionId: string; protocols: string | undefined }) =>
    openConnection(live, authenticate, connection);
  const onUpgrade = createUpgradeListener({ push, open, newId: () => clock.newId(), log });

  const ready = Promise.withResolvers<void>();
  let listening: Listening | undefined;
  const stop = async () => {
    await push.stop();
    await listening?.close();
    await schedule.stop();
    // Tasks that end still change the ledger, and their executions are told: so the feeds go on until then.
    await workflows.close();
    await pool.close();
    await Promise.all(feeds.map((feed) => feed.stop()));
    await bus.stop();
    for (const timer of timers) clearTimeout(timer);
    database.close();
    folder.close();
  };
  try {
    // First, so that what is started again and again while its port is taken interrupts no job.
    listening = await listen({ listener, onUpgrade, ready: ready.promise, port: options.port, host: options.host });
    url ||= listening.url;
    // Before anything else can start an execution, so that what a process before this one left is told as ended.
    workflows.recover();
    await reconcile();
    bus.start();
    for (const feed of feeds) feed.start();
    schedule.start();
    ready.resolve();
    log.info('started', { url, listening: listening.url, version: manifest.version });
    return {
      url,
      keys,
      close: async () => {
        await stop();
        log.info('stopped');
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function taskModules(workflows: Readonly<Record<string, WorkflowEntry>>): Record<string, string> {
  return Object.fromEntries(
    Object.values(workflows).flatMap(({ name, tasks }) =>
      Object.entries(tasks).map(([state, { file }]) => [`${name}/${state}`, new URL(file, ROOT).href]),
    ),
  );
}

function readDefinitions(workflows: Readonly<Record<string, WorkflowEntry>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(workflows).map((name) => {
      const file = new URL(`statemachines/${name}.asl.json`, ROOT);
      return [name, JSON.parse(readFileSync(file, 'utf8')) as unknown];
    }),
  );
}
