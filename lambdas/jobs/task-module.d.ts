declare module '#task' {
  import type { TaskDefinition } from './task-api.ts';

  /** The task that this bundle is made for. */
  export const task: TaskDefinition;
}
