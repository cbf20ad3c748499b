export { readJobEvents } from './list-events.ts';
export { readJob } from './records.ts';
export { createTaskRunner } from './run-task.ts';
export { readBatchStates, readJobStates } from './states.ts';
export { defineTask, type TaskContext, type TaskDefinition, type WaitDefinition } from './task-api.ts';
