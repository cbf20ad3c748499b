export { MAX_QUEUE_POSITION } from '../contract/limits.ts';
export { type ClientErrorCode, MillraceError } from './errors.ts';
export { memoryStateStore } from './memory-state.ts';
export { type MillraceOptions, paginate, type Verification } from './millrace.ts';
export type { FileIdentity, SavedUpload, StateStore } from './ports.ts';
export type { CreateJobOptions, WaitOptions, WatchOptions } from './resources/jobs.ts';
export type { UploadOptions } from './resources/uploads.ts';
export type * from './types.ts';
export type { UploadPhase, UploadProgress } from './upload/progress.ts';
