import * as z from 'zod/mini';
import { BatchId, FileId, JobId, TenantId, Timestamp, UploadId } from './common.ts';
import { JobError, JobState } from './jobs.ts';

const base = { id: z.string(), tenant_id: TenantId, time: Timestamp };

/**
 * The events on the bus. `upload.completed` and `upload.rejected` tell how a completion ended, also one that was answered
 * with 202. `id` is the same at every delivery of an event: consumers de-duplicate by it. */
export const BusEvent = z.discriminatedUnion('type', [
  z.object({
    ...base,
    type: z.literal('upload.completed'),
    data: z.object({ upload_id: UploadId, file_id: FileId, size_bytes: z.int() }),
  }),
  z.object({
    ...base,
    type: z.literal('upload.rejected'),
    data: z.object({ upload_id: UploadId, error: z.object({ code: z.string(), message: z.string() }) }),
  }),
  z.object({
    ...base,
    type: z.literal('job.state_changed'),
    data: z.object({
      job_id: JobId,
      workflow: z.string(),
      state: JobState,
      attempt: z.int(),
      batch_id: z.optional(BatchId),
      error: z.optional(JobError),
    }),
  }),
]);
export type BusEvent = z.infer<typeof BusEvent>;
export type BusEventType = BusEvent['type'];
