import * as z from 'zod';
import { FileId, JobId, Timestamp } from './common.ts';
import { DEFAULT_MAX_RETRIES, MAX_EVENT_WAIT_SECONDS, MAX_MAX_RETRIES } from './limits.ts';

/** The states of a job; the transitions are in `lambdas/jobs/transitions.ts`. */
export const JOB_STATES = ['creating', 'queued', 'running', 'cancelling', 'completed', 'failed', 'cancelled'] as const;
export const JobState = z.enum(JOB_STATES);
export type JobState = z.infer<typeof JobState>;

const TASK_STATES = ['pending', 'running', 'completed', 'failed', 'cancelled'] as const;
export const TaskState = z.enum(TASK_STATES);
export type TaskState = z.infer<typeof TaskState>;

export const JobError = z.object({ code: z.string(), message: z.string(), task: z.string().optional() });
export type JobError = z.infer<typeof JobError>;

/** `percent` is rounded down, and 100 only when all planned tasks are completed. */
export const JobProgress = z.object({
  percent: z.int().min(0).max(100),
  /** What it is doing: the step of the task that last reported. */
  phase: z.string(),
  completed_tasks: z.int(),
  total_tasks: z.int(),
  /** A measure of the job's own, such as rows scored. */
  detail: z.record(z.string(), z.number()).optional(),
  eta_seconds: z.int().optional(),
});
export type JobProgress = z.infer<typeof JobProgress>;

export const CreateJob = z.object({
  workflow: z.string().max(64),
  /** Checked by the workflow's own schema: see `GET /workflows`. */
  input: z.record(z.string(), z.unknown()).default({}),
  max_retries: z.int().min(0).max(MAX_MAX_RETRIES).default(DEFAULT_MAX_RETRIES),
});
export type CreateJob = z.infer<typeof CreateJob>;

export const Job = z.object({
  id: JobId,
  workflow: z.string(),
  state: JobState,
  input: z.record(z.string(), z.unknown()),
  progress: JobProgress,
  error: JobError.optional(),
  /** Counts from 1; each retry, by hand or automatic, is a new attempt. */
  attempt: z.int(),
  /** Automatic retries started. */
  retry_count: z.int(),
  max_retries: z.int(),
  batch_id: z.string().optional(),
  created_at: Timestamp,
  queued_at: Timestamp.optional(),
  started_at: Timestamp.optional(),
  cancelling_at: Timestamp.optional(),
  completed_at: Timestamp.optional(),
  failed_at: Timestamp.optional(),
  cancelled_at: Timestamp.optional(),
});
export type Job = z.infer<typeof Job>;

export const Task = z.object({
  /** `<step_type>` or `<step_type>-<item>`, unique in its job. */
  id: z.string(),
  step_type: z.string(),
  step_order: z.int(),
  item: z.int().optional(),
  state: TaskState,
  attempts: z.int(),
  created_at: Timestamp,
  started_at: Timestamp.optional(),
  ended_at: Timestamp.optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  output: z.unknown().optional(),
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

const eventBase = { cursor: z.string(), job_id: JobId, time: Timestamp };

/** What happened to a job, oldest first; `cursor` is where to go on. */
export const JobEvent = z.discriminatedUnion('type', [
  z.object({
    ...eventBase,
    type: z.literal('job.state_changed'),
    state: JobState,
    previous: JobState.optional(),
    attempt: z.int(),
    error: JobError.optional(),
  }),
  z.object({ ...eventBase, type: z.literal('job.progress'), progress: JobProgress }),
]);
export type JobEvent = z.infer<typeof JobEvent>;

export const JobEventsQuery = z.object({
  /** The cursor of the last event seen; from the beginning when left out. */
  after: z
    .string()
    .max(128)
    .regex(/^[0-9]+$/)
    .optional(),
  /** Seconds to wait for an event if there is none yet. */
  wait: z.coerce.number().int().min(0).max(MAX_EVENT_WAIT_SECONDS).default(0),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});

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
