import type { JobId, TenantId } from '../../contract/common.ts';
import type { Artifact, Checkpoint, Job, JobProgress, Task } from '../../contract/jobs.ts';
import { MAX_QUEUE_POSITION } from '../../contract/limits.ts';
import type { Item, Table } from '../../platform/ports/table.ts';
import { ageInSeconds, checkpointAge } from './job-checkpoints.ts';
import {
  type Counts,
  type JobCheckpointRecord,
  type JobRecord,
  type ProgressRecord,
  queuePk,
  type TaskRecord,
} from './records.ts';
import { hasEnded } from './transitions.ts';

/** The first jobs of a tenant's queue, in the order in which they will be started. */
export async function readQueue(table: Table, tenantId: TenantId): Promise<readonly JobId[]> {
  const { items } = await table.query({ pk: queuePk(tenantId), limit: MAX_QUEUE_POSITION });
  return items.map((row) => row.job_id as JobId);
}

interface Seen {
  /** Only looked at for a queued job. */
  readonly queue: readonly JobId[];
  /** Not looked at for a completed one. */
  readonly progress: ProgressRecord | undefined;
  readonly now: Date;
  /** Whether its workflow keeps checkpoints. */
  readonly checkpoints: boolean;
}

/** What the API shows of a job. */
export function jobView(job: JobRecord, { queue, progress: counted, now, checkpoints }: Seen): Job {
  const { job_id, workflow, state, input, error, attempt, retry_count, max_retries } = job;
  const { batch_id, created_at, queued_at, started_at, cancelling_at, completed_at, failed_at, cancelled_at } = job;
  const times = { created_at, queued_at, started_at, cancelling_at, completed_at, failed_at, cancelled_at };
  const progress = jobProgress(job, counted, now);
  const queue_position = state === 'queued' ? positionIn(queue, job_id) : undefined;
  const place = { state, input, progress, queue_position, error };
  const checkpoint = job.checkpoint && checkpointView(job.checkpoint, now);
  const checkpoint_age_seconds = state === 'running' && checkpoints ? checkpointAge(job, now) : undefined;
  return {
    id: job_id,
    workflow,
    ...place,
    checkpoint,
    checkpoint_age_seconds,
    attempt,
    retry_count,
    max_retries,
    batch_id,
    ...times,
  };
}

/** Undefined for a job that was started since it was read. */
function positionIn(queue: readonly JobId[], jobId: JobId): number | undefined {
  const at = queue.indexOf(jobId);
  if (at >= 0) return at + 1;
  return queue.length === MAX_QUEUE_POSITION ? MAX_QUEUE_POSITION + 1 : undefined;
}

function jobProgress(job: JobRecord, counted: ProgressRecord | undefined, now: Date): JobProgress {
  // The change feed may be some way behind; the counts of a completed job are exact.
  if (job.final_counts) return progressView(job.final_counts, job.state);
  const counts = {
    completed: counted?.completed ?? 0,
    total: Math.max(counted?.total ?? 0, job.planned_tasks),
    detail: counted?.detail ?? {},
  };
  if (job.state !== 'running') return progressView(counts, job.state === 'creating' ? 'queued' : job.state);
  // What was counted of an attempt before tells nothing of this one.
  const current = counted?.run?.started_at === job.started_at ? counted : undefined;
  return runningView({ ...counts, phase: current?.phase, run: current?.run }, now);
}

/** 100 only when all tasks known so far are completed. */
function progressView({ completed, total, detail }: Counts, phase: string): JobProgress {
  const percent = total === 0 ? 0 : Math.floor((100 * completed) / total);
  const measures = Object.keys(detail).length > 0 ? { detail } : {};
  return { percent, phase, completed_tasks: completed, total_tasks: total, ...measures };
}

/** Of a job that runs. */
export function runningView(
  { phase, run, ...counts }: Counts & { phase: ProgressRecord['phase']; run: ProgressRecord['run'] },
  now: Date,
): JobProgress {
  const { completed, total } = counts;
  const done = completed - (run?.completed ?? completed);
  const progress = progressView(counts, total > 0 && completed === total ? 'finalizing' : (phase ?? 'starting'));
  if (!run || done === 0) return progress;
  const elapsedMs = now.getTime() - Date.parse(run.started_at);
  return { ...progress, eta_seconds: Math.ceil((elapsedMs * (total - completed)) / done / 1_000) };
}

/** A task that its runner left without a word shows as running only as long as its job may still take it up. */
export function taskView(task: TaskRecord, job: JobRecord, now: Date): Task {
  const { task_id, step, step_order, item, attempts, created_at, started_at, ended_at, output } = task;
  const lost = task.state === 'running' && hasEnded(job.state) && task.lease_until <= now.getTime();
  const state = !lost ? task.state : job.state === 'cancelled' ? 'cancelled' : 'failed';
  const error = lost ? { code: 'LeaseLostError', message: 'the runner stopped sending heartbeats' } : task.error;
  const times = { created_at, started_at, ended_at };
  return { id: task_id, step_type: step, step_order, item, state, attempts, ...times, error, output };
}

export function checkpointView(checkpoint: JobCheckpointRecord, now: Date): Checkpoint {
  const { iteration, created_at, size_bytes, sha256: checksum_sha256 } = checkpoint;
  return { iteration, created_at, age_seconds: ageInSeconds(created_at, now), size_bytes, checksum_sha256 };
}

export async function artifactView(
  item: Item,
  job: JobRecord,
  sign: (key: string, fileName: string) => Promise<{ url: string; expiresAt: Date }>,
): Promise<Artifact> {
  const { name, size_bytes, content_type, created_at } = item as unknown as Artifact;
  const { url, expiresAt } = await sign(String(item.object_key), name);
  const partial = job.state !== 'completed';
  return { name, size_bytes, content_type, created_at, partial, url, expires_at: expiresAt.toISOString() };
}
