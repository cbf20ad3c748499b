import type { Artifact, Job, JobEvent, JobProgress, Task } from '../../contract/jobs.ts';
import type { Item, Table } from '../../platform/ports/table.ts';
import { type Counts, type JobRecord, type ProgressRecord, readProgress, type TaskRecord } from './records.ts';
import { hasEnded } from './transitions.ts';

/** What the API shows of a job. */
export async function jobView({ table }: { table: Table }, job: JobRecord, now: Date): Promise<Job> {
  const { job_id, workflow, state, input, error, attempt, retry_count, max_retries } = job;
  const { created_at, queued_at, started_at, cancelling_at, completed_at, failed_at, cancelled_at } = job;
  const times = { created_at, queued_at, started_at, cancelling_at, completed_at, failed_at, cancelled_at };
  const progress = await jobProgress(table, job, now);
  return { id: job_id, workflow, state, input, progress, error, attempt, retry_count, max_retries, ...times };
}

async function jobProgress(table: Table, job: JobRecord, now: Date): Promise<JobProgress> {
  // The change feed may be some way behind; the counts of a completed job are exact.
  if (job.final_counts) return progressView(job.final_counts, job.state);
  const counted = await readProgress(table, job.tenant_id, job.job_id);
  const counts = counted ?? { completed: 0, total: 0, detail: {} };
  const { completed } = counts;
  const total = Math.max(counts.total, job.planned_tasks);
  const progress = progressView({ ...counts, total }, phaseOf(job, counted));
  const eta = etaSeconds(job, completed, total, now);
  return eta === undefined ? progress : { ...progress, eta_seconds: eta };
}

/** 100 only when all tasks known so far are completed. */
export function progressView({ completed, total, detail }: Counts, phase: string) {
  const percent = total === 0 ? 0 : Math.floor((100 * completed) / total);
  const measures = Object.keys(detail).length > 0 ? { detail } : {};
  return { percent, phase, completed_tasks: completed, total_tasks: total, ...measures };
}

function phaseOf(job: JobRecord, counted: ProgressRecord | undefined): string {
  if (job.state === 'creating') return 'queued';
  if (job.state !== 'running') return job.state;
  if (counted && counted.total > 0 && counted.completed === counted.total) return 'finalizing';
  return counted?.phase ?? 'starting';
}

/** As if all tasks took the same time; unknown once a retry has skipped some. */
function etaSeconds(job: JobRecord, completed: number, total: number, now: Date): number | undefined {
  if (job.state !== 'running' || !job.started_at || completed === 0 || job.attempt > 1) return undefined;
  const elapsedMs = now.getTime() - Date.parse(job.started_at);
  return Math.ceil((elapsedMs * (total - completed)) / completed / 1_000);
}

/** A task that its runner left without a word shows as running only as long as its job may still take it up. */
export function taskView(task: TaskRecord, job: JobRecord, now: Date): Task {
  const { task_id, step, step_order, item, attempts, created_at, started_at, ended_at, output } = task;
  const lost = task.state === 'running' && hasEnded(job.state) && task.lease_until <= now.getTime();
  const state = !lost ? task.state : job.state === 'cancelled' ? 'cancelled' : 'failed';
  const error = lost ? { code: 'LeaseLostError', message: 'the runner has not been heard of again' } : task.error;
  const times = { created_at, started_at, ended_at };
  return { id: task_id, step_type: step, step_order, item, state, attempts, ...times, error, output };
}

export function eventView(item: Item, job: JobRecord): JobEvent {
  const cursor = item.sk.slice('EVENT#'.length);
  const { pk: _pk, sk: _sk, ttl: _ttl, ...event } = item;
  return { cursor, job_id: job.job_id, ...event } as unknown as JobEvent;
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
