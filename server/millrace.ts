import type { ContextSpec } from '../contract/context.ts';
import * as contexts from '../contract/contexts.ts';
import type { MarketplaceSettings } from '../contract/publishing.ts';
import type { Quotas } from '../contract/uploads.ts';
import * as workflows from '../contract/workflows.ts';
import { type KeyStore, openAuthenticator, openKeys } from '../lambdas/identity/public.ts';
import { openSettle, schedules } from '../lambdas/jobs/context.ts';
import { openPublisher, openSockets } from '../lambdas/live/context.ts';
import type { ContextModule } from '../lambdas/runtime/context.ts';
import { createHttpApi } from '../lambdas/runtime/http.ts';
import manifest from '../package.json' with { type: 'json' };
import { ChangeFeed } from '../platform/embedded/change-feed.ts';
import { objectsHttpHandler } from '../platform/embedded/objects-http.ts';
import { TimerSchedule } from '../platform/embedded/timer-schedule.ts';
import type { ScheduledRun } from '../platform/ports/schedule.ts';
import type { ChangeConsumer } from '../platform/ports/table.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { openDataFolder } from './data-folder.ts';
import { createRequestListener, listen } from './http.ts';
import { createUpgradeListener } from './live-socket.ts';
import { rotateLogFile } from './log-file.ts';
import { declaredOptions, type EmbeddedPlatform, openPlatform } from './platform.ts';
import { upgradeData } from './upgrade-data.ts';

const PURGE_EVERY_SECONDS = 3_600;

const SPECS: readonly ContextSpec[] = Object.values(contexts);
/** Contexts whose tables have events, which `live` publishes. */
const PUBLISHED = contexts.live.reads ?? [];

export interface MillraceOptions {
  /** Folder of all data; made when it is missing. */
  readonly data: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly host: string;
  /** Where clients reach the server, when that is not where it listens. */
  readonly publicUrl?: string | undefined;
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
export async function startMillrace({
  data,
  port,
  host,
  publicUrl,
  ...settings
}: MillraceOptions): Promise<RunningMillrace> {
  // What was opened last is closed first.
  await using opened = new AsyncDisposableStack();
  const { close: closeFolder, ...folder } = openDataFolder(data);
  opened.defer(closeFolder);
  rotateLogFile(folder.logFile);
  // First, so that what is started again and again while its port is taken interrupts no job.
  const listening = await listen({ port, host });
  opened.defer(() => listening.close());
  const url = publicUrl ?? listening.url;
  const platform = opened.use(
    openPlatform({
      folder,
      url,
      processId: clock.newId(),
      ...declaredOptions(SPECS, Object.values(workflows), PUBLISHED),
      settings,
    }),
  );
  const { log } = platform;
  await upgradeData(folder, platform);
  const objects = await platform.objects();
  const { damagedKeys, ...objectsReport } = await objects.reconcile();
  if (damagedKeys.length > 0) log.error('objects lack files', { keys: damagedKeys });
  log.info('object store is in order', { ...objectsReport });

  const modules = await loadContexts();
  const feeds = await openFeeds(modules, platform, await openPublisher(platform));
  opened.defer(async () => void (await Promise.all(feeds.map((feed) => feed.stop()))));
  // Tasks that end still change the ledger, and the ends of their executions are settled: so the feeds go on until then.
  const engine = await platform.workflows();
  opened.defer(() => platform.pool.close());
  opened.defer(() => engine.close());
  // Before anything else can start an execution, so that what a process before this one left is settled as ended.
  engine.recover(await openSettle(platform));
  const reconcile = await schedules.reconcile(platform);
  await reconcile();
  for (const feed of feeds) feed.start();
  await startConsumers(modules, platform, opened);
  const schedule = new TimerSchedule({ runs: await openSchedules(modules, platform), log });
  opened.defer(() => schedule.stop());
  schedule.start();

  const listener = createRequestListener({
    api: await openApi(modules, platform),
    objects: objectsHttpHandler(objects),
    log,
  });
  // Before what its requests need.
  opened.defer(() => listening.close());
  const push = await platform.push();
  opened.defer(() => push.stop());
  const sockets = await openSockets(platform);
  const newId = () => clock.newId();
  listening.serve({ listener, onUpgrade: createUpgradeListener({ push, ...sockets, newId, log }) });
  log.info('started', { url, listening: listening.url, version: manifest.version });

  const running = opened.move();
  return {
    url,
    keys: await openKeys(platform),
    close: async () => {
      await running.disposeAsync();
      log.info('stopped');
    },
  };
}

interface LoadedContext {
  readonly spec: ContextSpec;
  readonly module: ContextModule;
}

function loadContexts(): Promise<LoadedContext[]> {
  return Promise.all(
    SPECS.map(async (spec) => ({
      spec,
      module: (await import(`../lambdas/${spec.name}/context.ts`)) as ContextModule,
    })),
  );
}

/** Opens a part that a context declares. */
function openPart<Part>(
  platform: EmbeddedPlatform,
  { name }: ContextSpec,
  part: string,
  open: ((platform: EmbeddedPlatform) => Promise<Part>) | undefined,
): Promise<Part> {
  if (!open) throw new Error(`lambdas/${name}/context.ts has no ${part}`);
  return open(platform);
}

/** The routes of all contexts, with what answers them. */
async function openApi(loaded: readonly LoadedContext[], platform: EmbeddedPlatform) {
  const apis = await Promise.all(loaded.map(({ spec, module }) => openPart(platform, spec, 'openApi', module.openApi)));
  return createHttpApi({
    routes: Object.assign({}, ...apis.map(({ routes }) => routes)),
    handlers: Object.assign({}, ...apis.map(({ handlers }) => handlers)),
    authenticate: await openAuthenticator(platform),
    log: platform.log,
  });
}

/**
 * The readers of each table's changes: its context's own, and the publisher of events. They keep their places by these
 * names.
 */
async function openFeeds(
  loaded: readonly LoadedContext[],
  platform: EmbeddedPlatform,
  publisher: ChangeConsumer,
): Promise<ChangeFeed[]> {
  const feeds = loaded.map(async ({ spec, module }) => {
    const consumers: Record<string, ChangeConsumer> = {};
    if (spec.feed) consumers[spec.name] = await openPart(platform, spec, 'openFeed', module.openFeed);
    if (PUBLISHED.includes(spec.name)) consumers.live = publisher;
    if (Object.keys(consumers).length === 0) return [];
    const { database, log } = platform;
    return [new ChangeFeed({ database, table: platform.tableName(spec.name), consumers, log })];
  });
  return (await Promise.all(feeds)).flat();
}

/** Delivers events to the contexts that consume some. */
async function startConsumers(
  loaded: readonly LoadedContext[],
  platform: EmbeddedPlatform,
  opened: AsyncDisposableStack,
): Promise<void> {
  for (const { spec, module } of loaded) {
    if (!spec.consumes) continue;
    const queue = await platform.queue(spec.name);
    queue.start(await openPart(platform, spec, 'openConsumer', module.openConsumer));
    opened.defer(() => queue.stop());
  }
}

async function openSchedules(loaded: readonly LoadedContext[], platform: EmbeddedPlatform): Promise<ScheduledRun[]> {
  const declared = loaded.flatMap(({ spec, module }) =>
    Object.entries(spec.schedules ?? {}).map(async ([name, { everySeconds, embeddedEverySeconds = everySeconds }]) => {
      const run = await openPart(platform, spec, `schedules.${name}`, module.schedules?.[name]);
      return { name: `${spec.name}-${name}`, everySeconds: embeddedEverySeconds, run: async () => void (await run()) };
    }),
  );
  const purge = { name: 'purge-expired', everySeconds: PURGE_EVERY_SECONDS, run: () => platform.purgeExpired() };
  return [...(await Promise.all(declared)), purge];
}
