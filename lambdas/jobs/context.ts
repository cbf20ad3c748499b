import * as z from 'zod/mini';
import { jobs } from '../../contract/routes/jobs.ts';
import * as entries from '../../contract/workflows.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { ChangeConsumer } from '../../platform/ports/table.ts';
import type { ExecutionEnded } from '../../platform/ports/workflows.ts';
import type { ContextApi, ScheduleRun } from '../runtime/context.ts';
import { openHooks } from '../runtime/open-hooks.ts';
import type { Platform } from '../runtime/platform.ts';
import { findFile } from '../uploads/public.ts';
import { consumeJobChanges } from './changes.ts';
import type { JobsDeps } from './deps.ts';
import { createJobsHandlers } from './handlers.ts';
import { reconcileJobs } from './reconcile.ts';
import { type SettleOptions, settleExecution } from './settle.ts';

export const name = 'jobs';

export async function openApi(platform: Platform): Promise<ContextApi<'jobs'>> {
  const handlers = createJobsHandlers(await openDeps(platform, await platform.signedObjects()));
  return { routes: jobs.routes, handlers };
}

export async function openFeed(platform: Platform): Promise<ChangeConsumer> {
  return consumeJobChanges(await openDeps(platform));
}

export const schedules = {
  async reconcile(platform: Platform): Promise<ScheduleRun> {
    const deps = await openDeps(platform);
    const { isRunnerAlive } = platform;
    return async () => {
      const report = await reconcileJobs(deps, isRunnerAlive ? { runnersAlive: isRunnerAlive } : {});
      const values = {
        OldestQueuedSeconds: report.oldest_queued_seconds,
        OldestCheckpointSeconds: report.oldest_checkpoint_seconds,
        ReconcileErrors: report.errors,
      };
      return { ...report, metrics: { values } };
    };
  },
};

/** Settles the jobs of executions that have ended. */
export async function openSettle(platform: Platform, options?: SettleOptions): Promise<ExecutionEnded> {
  return settleExecution(await openDeps(platform), options);
}

async function openDeps(platform: Platform, objects?: ObjectStore): Promise<JobsDeps> {
  const { clock, log, later } = platform;
  const settings = platform.settings({ runningJobsPerTenant: z.int(), retryDelaySeconds: z.number() });
  const uploads = { table: await platform.table('uploads') };
  return {
    table: await platform.table(name),
    objects: objects ?? (await platform.objects()),
    workflows: await platform.workflows(),
    clock,
    log,
    findFile: (tenantId, fileId) => findFile(uploads, tenantId, fileId),
    async completeInput(context, tenantId, input) {
      const { completeInput } = await openHooks(context, platform);
      return completeInput ? completeInput(tenantId, input) : input;
    },
    entries,
    runningLimit: settings.runningJobsPerTenant,
    retryDelaySeconds: settings.retryDelaySeconds,
    ...(later ? { later } : {}),
  };
}
