import type * as z from 'zod/mini';

/** A step that a job is known to have when it is created; steps found later are added by a running task. */
export interface PlannedTask {
  /** `step_type` in the API, such as `split`. */
  readonly step: string;
  /** Set when the step runs once per item (a Map state). */
  readonly item?: number;
}

export interface TaskEntry {
  /** Path of the task's module from the repository's root; it exports `task`. */
  readonly file: string;
  /** Memory of its Lambda in MiB; 1,769 MiB is one vCPU. Default 1,024. */
  readonly memoryMiB?: number;
  /** Most seconds one run takes, at most 900; the state machine's TimeoutSeconds is above it. Default 300. */
  readonly timeoutSeconds?: number;
  /** Files that are copied next to the bundle, from `node_modules` on. */
  readonly assets?: readonly string[];
}

/**
 * A workflow: what a job of it takes, what it is known to do, and where its tasks are.
 * Its state machine is `statemachines/<name>.asl.json`; the keys of `tasks` are the names of its Task states.
 */
export interface WorkflowEntry<Input extends z.ZodMiniObject = z.ZodMiniObject> {
  /** Its name in `workflows.ts`, too. */
  readonly name: string;
  readonly description: string;
  readonly input: Input;
  /** The context whose records a job works on: it completes `input` when the job is created, and its tasks get its ports. */
  readonly context?: string;
  /** Fields of `input` that hold a file id, or an array of them: they are checked and resolved when a job is created. */
  readonly files: readonly string[];
  readonly plan: (input: z.infer<Input>) => readonly PlannedTask[];
  /** Field of `input` whose value is a job's label: `GET /stats` counts the jobs of each label. */
  readonly labelField?: string;
  /** All steps in their order, those that are found later included; the steps of `plan` when left out. */
  readonly steps?: readonly string[];
  readonly tasks: Readonly<Record<string, TaskEntry>>;
  /** Whether a running job keeps checkpoints of itself again and again, so that a long time without one tells of trouble. */
  readonly checkpoints?: boolean;
}

export function workflow<Input extends z.ZodMiniObject>(entry: WorkflowEntry<Input>): WorkflowEntry<Input> {
  return entry;
}
