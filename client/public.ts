export { JOB_STATES, ROLES, UPLOAD_STATES } from '../contract/choices.ts';
export {
  DEFAULT_MAX_RETRIES,
  DEFAULT_SECRET_OVERLAP_HOURS,
  MAX_BRIDGE_MESSAGE_LENGTH,
  MAX_EVENT_WAIT_SECONDS,
  MAX_KEY_DAYS,
  MAX_MAX_RETRIES,
  MAX_QUEUE_POSITION,
  MAX_SECRET_OVERLAP_HOURS,
} from '../contract/limits.ts';
export { type ClientErrorCode, MillraceError } from './errors.ts';
export type { LiveUpdate } from './live/state-stream.ts';
export { memoryStateStore } from './memory-state.ts';
export { type MillraceOptions, paginate, type Verification } from './millrace.ts';
export { PauseController } from './pause.ts';
export type { FileIdentity, SavedUpload, StateStore } from './ports.ts';
export type { CreateBatchOptions, WaitForBatchOptions } from './resources/batches.ts';
export type { CreateJobOptions, WaitOptions } from './resources/jobs.ts';
export type { TransferOptions, UploadManyOptions, UploadOptions } from './resources/uploads.ts';
export { MAX_CONCURRENCY } from './resources/uploads.ts';
export type { WatchOptions } from './resources/watch.ts';
export type * from './types.ts';
export type { UploadPhase, UploadProgress } from './upload/progress.ts';
export type { UploadManyProgress } from './upload/total-progress.ts';
export type { UploadResult } from './upload/upload-many.ts';
