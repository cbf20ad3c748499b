declare module '#task' {
  import type { TaskDefinition, WaitDefinition } from './task-api.ts';

  /** The task that this bundle is made for. */
  export const task: TaskDefinition | WaitDefinition;
}

declare module '#services' {
  /** What the context of the task's workflow works with, by its name. */
  export function openServices(): Readonly<Record<string, unknown>>;
}
