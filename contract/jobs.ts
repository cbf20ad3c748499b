import * as z from 'zod/mini';
import { JOB_STATES } from './choices.ts';
import { BatchId, FileId, JobId, Timestamp } from './common.ts';
import { DEFAULT_MAX_RETRIES, MAX_MAX_RETRIES, MAX_QUEUE_POSITION } from './limits.ts';

export const JobState = z.enum(JOB_STATES);
export type JobState = z.infer<typeof JobState>;

const TASK_STATES = ['pending', 'running', 'completed', 'failed', 'cancelled'] as const;
export const TaskState = z.enum(TASK_STATES);
export type TaskState = z.infer<typeof TaskState>;

export const JobError = z.object({ code: z.string(), message: z.string(), task: z.optional(z.string()) });
export type JobError = z.infer<typeof JobError>;

/** `percent` is rounded down, and 100 only when all planned tasks are completed. */
export const JobProgress = z.object({
  percent: z.int().check(z.minimum(0), z.maximum(100)),
  /**
   * What it is doing: `queued`; `starting`; while it runs, the step of the task that last began or ended; `finalizing` when
   * all tasks are done; then the job's state.
   */
  phase: z.string(),
  completed_tasks: z.int(),
  total_tasks: z.int(),
  /** Measures of the job's own, such as rows scored. */
  detail: z.optional(z.record(z.string(), z.number())),
  /** While it runs: as if the tasks to come took as long as those that this attempt has done. */
  eta_seconds: z.optional(z.int()),
});
export type JobProgress = z.infer<typeof JobProgress>;

/** What a job has kept of itself to go on from. */
export const Checkpoint = z.object({
  /** Iterations done by then. */
  iteration: z.int(),
  created_at: Timestamp,
  age_seconds: z.int(),
  size_bytes: z.int(),
  checksum_sha256: z.string(),
});
export type Checkpoint = z.infer<typeof Checkpoint>;

export const CreateJob = z.object({
  workflow: z.string().check(z.maxLength(64)),
  /** Checked by the workflow's own schema: see `GET /workflows`. */
  input: z._default(z.record(z.string(), z.unknown()), {}),
  max_retries: z._default(z.int().check(z.minimum(0), z.maximum(MAX_MAX_RETRIES)), DEFAULT_MAX_RETRIES),
});
export type CreateJob = z.infer<typeof CreateJob>;

export const Job = z.object({
  id: JobId,
  workflow: z.string(),
  state: JobState,
  input: z.record(z.string(), z.unknown()),
  progress: JobProgress,
  /** Of a queued job, from 1: its place in its tenant's queue. 101 stands for every place beyond 100. */
  queue_position: z.optional(z.int().check(z.minimum(1), z.maximum(MAX_QUEUE_POSITION + 1))),
  error: z.optional(JobError),
  /** The last one; `GET /jobs/{job_id}/checkpoints` lists them all. */
  checkpoint: z.optional(Checkpoint),
  /** While it runs, if its workflow keeps checkpoints: seconds since the last one, or since it started. */
  checkpoint_age_seconds: z.optional(z.int()),
  /** Counts from 1; each retry, by hand or automatic, is a new attempt. */
  attempt: z.int(),
  /** Automatic retries started. */
  retry_count: z.int(),
  max_retries: z.int(),
  batch_id: z.optional(BatchId),
  created_at: Timestamp,
  queued_at: z.optional(Timestamp),
  started_at: z.optional(Timestamp),
  cancelling_at: z.optional(Timestamp),
  completed_at: z.optional(Timestamp),
  failed_at: z.optional(Timestamp),
  cancelled_at: z.optional(Timestamp),
});
export type Job = z.infer<typeof Job>;

export const Task = z.object({
  /** `<step_type>` or `<step_type>-<item>`, unique in its job. */
  id: z.string(),
  step_type: z.string(),
  step_order: z.int(),
  item: z.optional(z.int()),
  state: TaskState,
  attempts: z.int(),
  created_at: Timestamp,
  started_at: z.optional(Timestamp),
  ended_at: z.optional(Timestamp),
  error: z.optional(z.object({ code: z.string(), message: z.string() })),
  output: z.optional(z.unknown()),
});
export type Task = z.infer<typeof Task>;

/** A file that a job made. `partial` is true unless the job completed. */
export const Artifact = z.object({
  name: z.string(),
  size_bytes: z.int(),
  content_type: z.string(),
  created_at: Timestamp,
  partial: z.boolean(),
  url: z.string(),
  expires_at: Timestamp,
});
export type Artifact = z.infer<typeof Artifact>;

export const Workflow = z.object({
  name: z.string(),
  description: z.string(),
  /** JSON Schema of a job's `input`. */
  input: z.record(z.string(), z.unknown()),
});
export type Workflow = z.infer<typeof Workflow>;

/** A file that a job reads, as the job keeps it: resolved when the job is created, so that a retry reads the same bytes. */
export const FileRef = z.object({
  file_id: FileId,
  name: z.string(),
  content_type: z.string(),
  object_key: z.string(),
  size_bytes: z.int(),
  checksum_crc64nvme: z.string(),
});
export type FileRef = z.infer<typeof FileRef>;
