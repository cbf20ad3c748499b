// The events of every context, one line a context; `events.ts` reads it as a namespace.
export { batchEvents, jobEvents } from './events/jobs.ts';
export { uploadEvents } from './events/uploads.ts';
