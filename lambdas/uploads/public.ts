export { readUploadEvents } from './events.ts';
export { findFile } from './files.ts';
export { readUpload } from './records.ts';
export { readUploadStates } from './states.ts';
