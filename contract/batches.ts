import * as z from 'zod/mini';
import { BatchId, FileId, JobId, Timestamp } from './common.ts';
import { CreateJob, JobError, JobState } from './jobs.ts';
import { MAX_BATCH_JOBS, MAX_MAX_RETRIES } from './limits.ts';

/**
 * `creating` until every job is made, though they run meanwhile; `running`; `cancelling` until the last job has ended; then
 * `failed` if a job failed or an item was refused, else `cancelled` if one was cancelled, else `completed`. A retry goes
 * back to `running`.
 */
const BATCH_STATES = ['creating', 'running', 'cancelling', 'completed', 'failed', 'cancelled'] as const;
export const BatchState = z.enum(BATCH_STATES);
export type BatchState = z.infer<typeof BatchState>;

/** Jobs, or a file that lists them: NDJSON, each line a job as `POST /jobs` takes it. */
export const CreateBatch = z
  .object({
    name: z.optional(z.string().check(z.minLength(1), z.maxLength(256))),
    jobs: z.optional(z.array(CreateJob).check(z.minLength(1), z.maxLength(MAX_BATCH_JOBS))),
    file_id: z.optional(FileId),
    /** Of the file's lines that name none. */
    workflow: z.optional(z.string().check(z.maxLength(64))),
    max_retries: z.optional(z.int().check(z.minimum(0), z.maximum(MAX_MAX_RETRIES))),
  })
  .check(
    z.refine(({ jobs, file_id }) => (jobs === undefined) !== (file_id === undefined), {
      path: ['jobs'],
      error: 'exactly one of jobs and file_id is required',
    }),
  );
export type CreateBatch = z.infer<typeof CreateBatch>;

/** The counters are exact: each changes in the transaction that ends its job, or queues it again. */
export const Batch = z.object({
  id: BatchId,
  name: z.optional(z.string()),
  state: BatchState,
  total: z.int(),
  completed: z.int(),
  /** Items that were refused among them. */
  failed: z.int(),
  cancelled: z.int(),
  /** Of the jobs that have ended, rounded down. */
  percent: z.int().check(z.minimum(0), z.maximum(100)),
  created_at: Timestamp,
  cancelling_at: z.optional(Timestamp),
});
export type Batch = z.infer<typeof Batch>;

/** One of a batch's jobs, or why it was refused; `index` counts from 0, a file's lines without the blank ones. */
export const BatchItem = z.object({
  index: z.int(),
  job_id: z.optional(JobId),
  /** `failed` also for an item that was refused and has no job. */
  state: JobState,
  error: z.optional(JobError),
});
export type BatchItem = z.infer<typeof BatchItem>;

/** How many of a tenant's jobs with this label are in each state. Which jobs have a label is up to their workflow. */
export const LabelStats = z.object({
  label: z.string(),
  jobs: z.object({
    queued: z.int(),
    running: z.int(),
    cancelling: z.int(),
    completed: z.int(),
    failed: z.int(),
    cancelled: z.int(),
  }),
});
export type LabelStats = z.infer<typeof LabelStats>;
