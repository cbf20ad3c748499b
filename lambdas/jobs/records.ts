import { decodeTime, encodeTime, TIME_MAX } from 'ulid';
import { type BatchId, JobId, type TenantId } from '../../contract/common.ts';
import type { FileRef, JobError, JobState, TaskState } from '../../contract/jobs.ts';
import type { Item, Key, Query, Table, Value } from '../../platform/ports/table.ts';
import { hasEnded } from './transitions.ts';
import { upgradeJob, upgradeProgress } from './upgrade-row.ts';

/** Task counts of a job, and the sums of its tasks' own measures. */
export type Counts = {
  readonly completed: number;
  readonly total: number;
  readonly detail: Readonly<Record<string, number>>;
};

/** A job, as it is kept. It is written by transitions only, but for `checkpoint`. */
export type JobRecord = {
  readonly tenant_id: TenantId;
  readonly job_id: JobId;
  readonly workflow: string;
  readonly state: JobState;
  readonly input: { readonly [field: string]: Value };
  readonly files: Readonly<Record<string, FileRef>>;
  readonly planned_tasks: number;
  /** In the order that tasks' keys have; a job from before this was kept has its workflow's. */
  readonly steps?: readonly string[];
  readonly attempt: number;
  /** The number of the attempt's execution, from 1: one that is interrupted, or ends with `continue`, has a successor. */
  readonly run: number;
  /** What the last run that ended by itself has passed on to this one, as JSON. */
  readonly continued?: string;
  /** Runs that were aborted from outside, since the attempt began or a run ended by itself. */
  readonly interruptions: number;
  readonly retry_count: number;
  readonly max_retries: number;
  readonly created_at: string;
  readonly queued_at?: string;
  /** When it may be dispatched: `queued_at` or, after a retryable failure, later. */
  readonly due_at?: string;
  readonly started_at?: string;
  readonly cancelling_at?: string;
  readonly completed_at?: string;
  readonly failed_at?: string;
  readonly cancelled_at?: string;
  readonly error?: JobError;
  /** The last that a task of it has kept, by a write of its own. */
  readonly checkpoint?: JobCheckpointRecord;
  /** Counted from the ledger when the job completed. */
  readonly final_counts?: Counts;
  readonly batch_id?: BatchId;
  /** What it is counted by in the tenant's statistics: the value of its workflow's `labelField`. */
  readonly label?: string;
};

/** Goes over a batch's items in order and makes, cancels or retries each one's job. */
export type SweepKind = 'create' | 'cancel' | 'retry';

/** Many jobs; the counters are written with the transitions of its jobs. */
export type BatchRecord = {
  readonly tenant_id: TenantId;
  readonly batch_id: BatchId;
  readonly name?: string;
  readonly total: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly created_at: string;
  readonly cancelling_at?: string;
  /** What a line of the list that doesn't say is taken to say. */
  readonly defaults: { readonly workflow?: string; readonly max_retries?: number };
  /** The sweep that is on its way: its next item, when it came there, and where in the list of jobs that item begins. */
  readonly sweep?: SweepKind;
  readonly sweep_index: number;
  readonly sweep_at: string;
  readonly list_offset: number;
};

/** An item of a batch: its job, or why it has none. */
export type BatchItemRecord = { readonly index: number } & (
  | { readonly job_id: JobId }
  | { readonly state: 'failed'; readonly error: JobError }
  | { readonly state: 'cancelled' }
);

/** One step of a job, or one item of a step, in the ledger. */
export type TaskRecord = {
  readonly task_id: string;
  readonly step: string;
  readonly step_order: number;
  readonly item?: number;
  readonly state: TaskState;
  readonly attempts: number;
  readonly created_at: string;
  readonly started_at?: string;
  readonly ended_at?: string;
  readonly error?: { readonly code: string; readonly message: string };
  /** Of a failure that can't heal before: the job's next attempt is due then. */
  readonly retry_after_seconds?: number;
  readonly output?: Value;
  readonly counts?: Readonly<Record<string, number>>;
  readonly gauges?: Readonly<Record<string, number>>;
  /** Who runs it, or ran it last. */
  readonly runner?: string;
  /** Epoch milliseconds; 0 unless it runs. */
  readonly lease_until: number;
  /** The job's attempt that ran it last. */
  readonly job_attempt?: number;
  readonly checkpoint?: CheckpointRecord;
};

/** What a run of a task has kept for the next one: JSON, in an object if it is large. */
export type CheckpointRecord = { readonly json: string } | StoredCheckpoint;

/** An object of JSON. */
export type StoredCheckpoint = { readonly object_key: string; readonly sha256: string };

/** What a job has kept of itself after so many iterations, for tasks to come and for attempts to go on from. */
export type JobCheckpointRecord = StoredCheckpoint & {
  readonly iteration: number;
  readonly size_bytes: number;
  readonly created_at: string;
  /** What an execution that goes on from here gets as `continued`, as JSON. */
  readonly continued: string;
};

/** An effect outside of Millrace that a task has begun, or done with this result as JSON. */
export type EffectRecord = {
  /** Who began it last. */
  readonly runner: string;
  readonly begun_at: string;
} & ({ readonly state: 'begun' } | { readonly state: 'done'; readonly done_at: string; readonly json: string });

/** What the change feed has counted of a job, and what it has published. */
export type ProgressRecord = Counts & {
  /** The step of the task that last began or ended. */
  readonly phase?: string;
  /** Changes up to this one are counted and published. */
  readonly last_seq: string;
  readonly last_event?: string;
  readonly published_state?: JobState;
  readonly batch_id?: BatchId;
  /** When the present attempt began, and how many tasks were completed by then. */
  readonly run?: { readonly started_at: string; readonly completed: number };
  /** The change up to which progress is counted but not published yet, because an event was published a moment before. */
  readonly pending_progress_seq?: string;
  /** Epoch milliseconds of the last progress event. */
  readonly progress_at: number;
};

const jobPk = (tenantId: TenantId, jobId: string) => `T#${tenantId}#J#${jobId}`;
const JOB_PK = /^T#([^#]+)#J#([^#]+)$/;

export const jobKey = (tenantId: TenantId, jobId: string): Key => ({ pk: jobPk(tenantId, jobId), sk: 'JOB' });
export const progressKey = (tenantId: TenantId, jobId: string): Key => ({ pk: jobPk(tenantId, jobId), sk: 'PROGRESS' });
export const artifactKey = (tenantId: TenantId, jobId: string, name: string): Key => ({
  pk: jobPk(tenantId, jobId),
  sk: `ARTIFACT#${name}`,
});
export const jobCheckpointKey = (tenantId: TenantId, jobId: string, iteration: number): Key => ({
  pk: jobPk(tenantId, jobId),
  sk: `CHECKPOINT#${String(iteration).padStart(9, '0')}`,
});
export const effectKey = (taskKey: Key, name: string): Key => ({
  pk: taskKey.pk,
  sk: `${taskKey.sk.replace(/^TASK/, 'ONCE')}#${name}`,
});
const batchPk = (tenantId: TenantId, batchId: string) => `T#${tenantId}#B#${batchId}`;
export const batchKey = (tenantId: TenantId, batchId: string): Key => ({ pk: batchPk(tenantId, batchId), sk: 'BATCH' });
export const batchItemKey = (tenantId: TenantId, batchId: string, index: number): Key => ({
  pk: batchPk(tenantId, batchId),
  sk: `ITEM#${String(index).padStart(6, '0')}`,
});
export const batchListPk = (tenantId: TenantId) => `T#${tenantId}#BATCHES`;
/** The batches with a sweep on its way. */
export const SWEPT_PK = 'SWEPT';
export const statsKey = (tenantId: TenantId, label: string): Key => ({
  pk: `T#${tenantId}`,
  sk: `STATS#${label}`,
});
export const slotsKey = (tenantId: TenantId): Key => ({ pk: `T#${tenantId}`, sk: 'SLOTS' });
export const queuePk = (tenantId: TenantId) => `T#${tenantId}#QUEUE`;

/** Sorts by the time it is due, then by the time the job was created. */
export function queueKey(job: JobRecord): Key {
  const due = Date.parse(job.due_at ?? job.created_at);
  return { pk: queuePk(job.tenant_id), sk: `${String(due).padStart(15, '0')}#${job.job_id}` };
}

/** The tenant and job of a row in a job's partition. */
export function parseJobPk(pk: string): { tenantId: TenantId; jobId: JobId } | undefined {
  const match = JOB_PK.exec(pk);
  return match ? { tenantId: match[1] as TenantId, jobId: match[2] as JobId } : undefined;
}

/** A tenant's jobs by id, which is by time of creation. */
export const jobListPk = (tenantId: TenantId) => `T#${tenantId}#JOBS`;

const FIRST_RANDOM = '0'.repeat(16);
const LAST_RANDOM = 'Z'.repeat(16);

/** The first and the last id that a job of these times of creation can have. */
export function idsBetween({
  created_after: after,
  created_before: before,
}: {
  readonly created_after?: string | undefined;
  readonly created_before?: string | undefined;
}): Query['between'] {
  if (after === undefined && before === undefined) return undefined;
  const firstMs = after === undefined ? 0 : Date.parse(after);
  const lastMs = before === undefined ? TIME_MAX : Date.parse(before) - 1;
  // Ids have no times before 1970, when there were no jobs.
  const idOf = (ms: number, random: string) => `job_${encodeTime(Math.max(0, ms))}${random}`;
  return [idOf(firstMs, FIRST_RANDOM), idOf(lastMs, LAST_RANDOM)];
}

/** When the id was made; it is the job's time of creation, so that its place in lists tells that exactly. */
export function timeOf(jobId: JobId): Date {
  return new Date(decodeTime(jobId.slice('job_'.length)));
}

export const ACTIVE_SHARDS = 8;
export const activePk = (shard: number) => `ACTIVE#${shard}`;

/** A tenant's failed jobs, by id: its dead letters. */
export const failedPk = (tenantId: TenantId) => `T#${tenantId}#FAILED`;

/** Where a job is in the index by state: among those that have not ended, among the failed ones, or nowhere. */
export function stateIndex(
  state: JobState,
  tenantId: TenantId,
  jobId: JobId,
): { g2pk: string; g2sk: string } | undefined {
  if (state === 'failed') return { g2pk: failedPk(tenantId), g2sk: jobId };
  if (hasEnded(state)) return undefined;
  // The last characters of a ULID are random.
  return { g2pk: activePk(jobId.charCodeAt(jobId.length - 1) % ACTIVE_SHARDS), g2sk: jobId };
}

export const asJob = (item: Item) => upgradeJob(item) as unknown as JobRecord;
export const asBatch = (item: Item) => item as unknown as BatchRecord;
export const asBatchItem = (item: Item) => item as unknown as BatchItemRecord;
export const asTask = (item: Item) => item as unknown as TaskRecord;
export const asEffect = (item: Item) => item as unknown as EffectRecord;
export const asProgress = (item: Item | undefined) =>
  (item && upgradeProgress(item)) as unknown as ProgressRecord | undefined;

export async function readJob(table: Table, tenantId: TenantId, jobId: string): Promise<JobRecord | undefined> {
  const item = await table.get(jobKey(tenantId, jobId));
  return item && asJob(item);
}

export async function readProgress(
  table: Table,
  tenantId: TenantId,
  jobId: string,
): Promise<ProgressRecord | undefined> {
  return asProgress(await table.get(progressKey(tenantId, jobId)));
}

type ExecutionRef = Pick<JobRecord, 'job_id' | 'attempt' | 'run'>;

export function executionName(job: ExecutionRef): string {
  return `${job.job_id}-${job.attempt}-${job.run}`;
}

export function parseExecutionName(name: string): ExecutionRef | undefined {
  const match = /^(.+)-(\d+)-(\d+)$/.exec(name);
  const jobId = JobId.safeParse(match?.[1]);
  return match && jobId.success ? { job_id: jobId.data, attempt: Number(match[2]), run: Number(match[3]) } : undefined;
}
