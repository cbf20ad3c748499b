import * as z from 'zod/mini';
import { BatchId, JobId } from '../common.ts';
import { event, logged } from '../event.ts';
import { JobError, JobProgress, JobState } from '../jobs.ts';

function jobEvent<const State extends JobState>(state: State, meaning: string) {
  const data = {
    job_id: JobId,
    workflow: z.string(),
    state: z.literal(state),
    previous: z.optional(JobState),
    attempt: z.int(),
    batch_id: z.optional(BatchId),
    /** What `GET /stats` counts the job by. */
    label: z.optional(z.string()),
    error: z.optional(JobError),
  };
  return event(`job.${state}`, meaning, z.object(data));
}

export const jobEvents = [
  jobEvent('queued', 'The job waits to be started: it was created, or is retried.'),
  jobEvent('running', 'The job was started.'),
  event(
    'job.progress',
    'Tasks of the job began or ended: at most one event per job in 500 ms, and one when all its tasks are completed.',
    z.object({ job_id: JobId, batch_id: z.optional(BatchId), progress: JobProgress }),
  ),
  jobEvent('completed', 'The job has succeeded, and its artifacts are complete.'),
  jobEvent('failed', 'The job failed, and no automatic retry follows.'),
  jobEvent('cancelling', 'The job is being cancelled; tasks may still run.'),
  jobEvent('cancelled', 'The job was cancelled, and none of its tasks runs any more.'),
] as const;

/** An event of a job, without its cursor. */
export const JobEvent = z.discriminatedUnion('type', jobEvents);
export type JobEvent = z.infer<typeof JobEvent>;

export const LoggedJobEvent = logged(JobEvent);

const batchData = z.object({
  batch_id: BatchId,
  total: z.int(),
  completed: z.int(),
  failed: z.int(),
  cancelled: z.int(),
  /** Of the jobs that have ended, rounded down. */
  percent: z.int().check(z.minimum(0), z.maximum(100)),
});

export const batchEvents = [
  event('batch.progress', 'More jobs of the batch have ended: at most one event per percent.', batchData),
  event(
    'batch.completed',
    'Every job of the batch has ended, in whatever state. A retry of the batch leads to another one.',
    batchData,
  ),
] as const;

/** An event of a batch, without its cursor. */
export const BatchEvent = z.discriminatedUnion('type', batchEvents);
export type BatchEvent = z.infer<typeof BatchEvent>;
