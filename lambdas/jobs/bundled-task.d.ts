// What `#task` is: the module of the task that a bundle is made for.
import type { TaskDefinition, WaitDefinition } from './task-api.ts';

export declare const task: TaskDefinition | WaitDefinition;
