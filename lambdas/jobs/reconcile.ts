import type { TenantId } from '../../contract/common.ts';
import { isRefusal } from '../../contract/errors.ts';
import { eachItem } from '../runtime/listing.ts';
import { stopExecution } from './cancel-job.ts';
import { publishPendingProgress } from './changes.ts';
import { finishCreating } from './create-job.ts';
import type { JobsDeps } from './deps.ts';
import { dispatch, startExecution } from './dispatch.ts';
import { checkpointAge } from './job-checkpoints.ts';
import { expireLease } from './leases.ts';
import { moveJob } from './move-job.ts';
import {
  ACTIVE_SHARDS,
  activePk,
  asBatch,
  asJob,
  batchKey,
  executionName,
  type JobRecord,
  jobKey,
  readJob,
  SWEPT_PK,
  slotsKey,
} from './records.ts';
import { finishCancellation, settleJob } from './settle.ts';
import { sweepBatch } from './sweep-batch.ts';
import { eachTask } from './tasks.ts';
import { holdsSlot } from './transitions.ts';

/** A job that is being created for longer than any request takes has lost its creator. */
const CREATING_MS = 60_000;
/** A sweep that has not come further for so long has lost its change. */
const SWEEP_MS = 60_000;
const PAGE = 100;

/** How many jobs or slots each kind of mending was needed for. */
export interface ReconcileReport {
  jobs: number;
  created: number;
  started: number;
  settled: number;
  cancelled: number;
  leases: number;
  slots: number;
  batches: number;
  errors: number;
  /** How long the job has been due that waits longest. */
  oldest_queued_seconds: number;
  /** How long the running job has been without a checkpoint that keeps them and has been so longest. */
  oldest_checkpoint_seconds: number;
}

interface ReconcileOptions {
  /** Where runners share a process, which of them live: others' leases end at once instead of after a minute. */
  readonly runnersAlive?: (runnerId: string) => boolean;
}

/** Takes up every job that has not ended and that nothing else will bring further, because an event or a process was lost. */
export async function reconcileJobs(deps: JobsDeps, options: ReconcileOptions = {}): Promise<ReconcileReport> {
  const report: ReconcileReport = {
    jobs: 0,
    created: 0,
    started: 0,
    settled: 0,
    cancelled: 0,
    leases: 0,
    slots: 0,
    batches: 0,
    errors: 0,
    oldest_queued_seconds: 0,
    oldest_checkpoint_seconds: 0,
  };
  const tenants = new Set<TenantId>();
  for await (const job of activeJobs(deps)) {
    report.jobs += 1;
    tenants.add(job.tenant_id);
    await tryMending(deps, report, job, () => mendJob(deps, job, options, report));
  }
  for (const tenant_id of tenants) {
    await tryMending(deps, report, { tenant_id }, async () => {
      report.slots += await mendSlots(deps, tenant_id);
      await dispatch(deps, tenant_id);
    });
  }
  await mendSweeps(deps, report);
  return report;
}

/** One job's trouble is not the others'. */
async function tryMending(
  { log }: JobsDeps,
  report: ReconcileReport,
  { tenant_id, job_id }: { tenant_id: TenantId; job_id?: string },
  mend: () => Promise<void>,
): Promise<void> {
  try {
    await mend();
  } catch (error) {
    report.errors += 1;
    log.error('reconcile failed', { tenant_id, job_id, error });
  }
}

async function* activeJobs({ table }: JobsDeps): AsyncGenerator<JobRecord> {
  for (let shard = 0; shard < ACTIVE_SHARDS; shard += 1) {
    const active = eachItem(table, { pk: activePk(shard), index: 'g2', limit: PAGE });
    for await (const item of active) yield asJob(item);
  }
}

async function mendJob(
  deps: JobsDeps,
  indexed: JobRecord,
  { runnersAlive }: ReconcileOptions,
  report: ReconcileReport,
): Promise<void> {
  // The index only says where to look. A queued job needs its tenant's dispatch and nothing else.
  if (indexed.state === 'queued') {
    const dueMs = deps.clock.now().getTime() - Date.parse(indexed.due_at ?? indexed.created_at);
    report.oldest_queued_seconds = Math.max(report.oldest_queued_seconds, Math.floor(dueMs / 1_000));
    return;
  }
  const job = await readJob(deps.table, indexed.tenant_id, indexed.job_id);
  if (job?.state === 'creating') {
    if (deps.clock.now().getTime() - Date.parse(job.created_at) < CREATING_MS) return;
    await finishCreating(deps, job).catch((error: unknown) => dropJob(deps, job, error));
    report.created += 1;
  }
  if (job?.state !== 'running' && job?.state !== 'cancelling') return;
  if (job.state === 'running' && deps.entries[job.workflow]?.checkpoints) {
    report.oldest_checkpoint_seconds = Math.max(report.oldest_checkpoint_seconds, checkpointAge(job, deps.clock.now()));
  }
  await publishPendingProgress(deps, job.tenant_id, job.job_id);
  if (runnersAlive) report.leases += await expireLeases(deps, job, runnersAlive);
  const execution = await deps.workflows.describe({ workflow: job.workflow, name: executionName(job) });
  if (job.state === 'cancelling') {
    if (execution?.state === 'running') await stopExecution(deps, job);
    else if (await finishCancellation(deps, job)) report.cancelled += 1;
  } else if (!execution) {
    await startExecution(deps, job);
    report.started += 1;
  } else if (await settleJob(deps, job, execution)) {
    report.settled += 1;
  }
}

/** One step is enough: its change wakes the next. */
async function mendSweeps(deps: JobsDeps, report: ReconcileReport): Promise<void> {
  for await (const item of eachItem(deps.table, { pk: SWEPT_PK, index: 'g2', limit: PAGE })) {
    const { tenant_id, batch_id } = asBatch(item);
    await tryMending(deps, report, { tenant_id }, async () => {
      const row = await deps.table.get(batchKey(tenant_id, batch_id));
      const batch = row && asBatch(row);
      if (!batch?.sweep || deps.clock.now().getTime() - Date.parse(batch.sweep_at) < SWEEP_MS) return;
      await sweepBatch(deps, batch);
      report.batches += 1;
    });
  }
}

/** A job that can never be queued, since its workflow is gone. */
async function dropJob(deps: JobsDeps, job: JobRecord, cause: unknown): Promise<void> {
  if (!isRefusal(cause)) throw cause;
  await moveJob(deps, job, 'drop', { set: { error: { code: cause.code, message: cause.message } } });
}

async function expireLeases(
  { table }: JobsDeps,
  job: JobRecord,
  runnersAlive: (runnerId: string) => boolean,
): Promise<number> {
  let expired = 0;
  for await (const task of eachTask(table, job.tenant_id, job.job_id)) {
    if (task.state !== 'running' || task.lease_until === 0 || runnersAlive(task.runner ?? '')) continue;
    if (await expireLease(table, task)) expired += 1;
  }
  return expired;
}

/** Frees the slots of jobs that no longer hold one, which only a hand in the table can bring about. */
async function mendSlots({ table }: JobsDeps, tenantId: TenantId): Promise<number> {
  const key = slotsKey(tenantId);
  const slots = await table.get(key);
  const holders = Object.keys(slots ?? {}).filter((name) => name.startsWith('job_'));
  let freed = 0;
  for (const jobId of holders) {
    const job = await readJob(table, tenantId, jobId);
    if (job && holdsSlot(job.state)) continue;
    // Not if it has been queued and admitted again since.
    const result = await table.transact([
      { op: 'check', key: jobKey(tenantId, jobId), if: job ? { state: job.state, attempt: job.attempt } : 'missing' },
      { op: 'update', key, if: { [jobId]: { present: true } }, add: { running: -1 }, remove: [jobId] },
    ]);
    if (result.ok) freed += 1;
  }
  return freed;
}
