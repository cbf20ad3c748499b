import type * as z from 'zod/mini';
import type { JobId, TenantId } from '../../contract/common.ts';
import type { FileRef } from '../../contract/jobs.ts';
import type { PlannedTask, WorkflowEntry } from '../../contract/workflow.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Value } from '../../platform/ports/table.ts';

/** What a running task has at hand. All of it belongs to one run of one task of one job. */
export interface TaskContext<Input> {
  readonly tenantId: TenantId;
  readonly jobId: JobId;
  readonly attempt: number;
  /** Which item of a Map state this run works on, from 0. */
  readonly item: number | undefined;
  /** The job's input, as its workflow's schema parses it. */
  readonly input: Input;
  /** The files that the input names, by field; those of an array by `field[0]`, `field[1]`, … */
  readonly files: Readonly<Record<string, FileRef>>;
  readonly objects: ObjectStore;
  /** What the workflow's context works with; undefined for a workflow without one. */
  readonly services: unknown;
  /** Aborted when the job is cancelled, its execution ends or the time is up. */
  readonly signal: AbortSignal;
  /** Milliseconds until the task's time is up. */
  remaining(): number;
  /**
   * To be awaited at least every 500 ms of computing: yields, renews the lease, looks whether the job still runs.
   * Throws `JobCancelledError` or `LeaseLostError` when the run is to end.
   */
  heartbeat(): Promise<void>;
  /** Adds to measures of the job's own, such as `{rows: 1000}`; counted once, when the task completes. */
  count(measures: Readonly<Record<string, number>>): void;
  /** Sets measures of the job's own, such as `{mean_return: 12.5}`; when the task completes, they take the place of earlier ones. */
  gauge(measures: Readonly<Record<string, number>>): void;
  /** Adds tasks found only now, pending; safe to repeat. */
  addTasks(tasks: readonly PlannedTask[]): Promise<void>;
  /** Outputs of the completed tasks of a step, by item; with `items` (at most 100), of those only, in that order. */
  outputs(
    step: string,
    items?: readonly number[],
  ): Promise<readonly { readonly item: number | undefined; readonly output: Value }[]>;
  /**
   * Does something outside of Millrace, such as publishing a listing, once in the job's life: what `effect` answers is kept
   * (at most 200 KB of JSON), and every later call under this name in this task answers with it, in later attempts too.
   * When an earlier run may have done it and died before it was kept, `find` asks the outside first; without `find`, or when
   * that finds nothing, `effect` is called again with the same key. So it happens once, given an outside that keeps to
   * the key or can be asked; docs/jobs.md tells the details. `name`: `a-z 0-9 . - _`, up to 128, unique in the task.
   * Throws what `effect` and `find` throw; `LeaseLostError` when another runner has taken over.
   *
   * @example
   * const listing = await ctx.once('publish', ({ idempotencyKey }) => shop.publish(offer, idempotencyKey), {
   *   find: () => shop.findListing(offer.sku),
   * });
   */
  once<T extends Value>(name: string, effect: Effect<T>, options?: OnceOptions<T>): Promise<T>;
  /**
   * Keeps a value for the next run of this task, in place of the one before: at most 64 MiB of JSON. It outlives failures,
   * cancellations and retries, and is dropped when the task completes. Renews the lease, and throws as `heartbeat` does.
   */
  checkpoint(value: Value): Promise<void>;
  /** The value that this run or an earlier one of this task has kept last; undefined if there is none. */
  lastCheckpoint(): Promise<Value | undefined>;
  /**
   * Keeps a value (at most 64 MiB of JSON) as what the job has come to after so many iterations: it is listed in the API, and
   * stays as long as the job does. A later attempt begins there: its execution gets `continued`, at most 32 KiB, beside `job`.
   * What came before `continued` is not run again, so all of it but this task must be completed.
   */
  saveJobCheckpoint(checkpoint: JobCheckpoint & { readonly continued: Value }): Promise<void>;
  /** The last that was kept, by this run or before it began; undefined if there is none, or it is damaged. */
  lastJobCheckpoint(): Promise<JobCheckpoint | undefined>;
  /** Stores a file that the job's user gets; the same name again replaces it. `name`: `a-z 0-9 . - _`, up to 128. */
  artifact(artifact: { name: string; body: Uint8Array; contentType: string }): Promise<void>;
  /** The object key of a file of this job that its user doesn't get; gone when the job's data is deleted. */
  scratchKey(name: string): string;
}

export interface JobCheckpoint {
  /** Whole, from 0. */
  readonly iteration: number;
  readonly value: Value;
}

/**
 * `idempotencyKey`: the same at every try of this effect, and at that of no other, up to 255 printable characters.
 * `signal`: the run's; while it is not aborted, the task's lease is kept.
 */
export type Effect<T> = (effect: { readonly idempotencyKey: string; readonly signal: AbortSignal }) => Promise<T>;

export interface OnceOptions<T> {
  /** Asks the outside for what an earlier try has done; undefined if that has done nothing. */
  readonly find?: Effect<T | undefined>;
}

/** One step of a workflow. Its module exports it as `task`; both platforms run that. */
export interface TaskDefinition<Input = unknown> {
  readonly workflow: WorkflowEntry;
  /** `step_type` in the API. */
  readonly step: string;
  /** The result is kept in the ledger (at most 200 KB of JSON) and is what the state machine gets, now and at every retry. */
  readonly run: (ctx: TaskContext<Input>) => Promise<Value>;
}

/**
 * A state that waits for its task token (`…lambda:invoke.waitForTaskToken`): `wait` hands the token to whoever answers it,
 * and ends. It is no step of the job. A step that can't go on before that throws `TaskWaitingError`: its task stays
 * running, and the state machine runs it again after the wait.
 */
export interface WaitDefinition {
  readonly workflow: WorkflowEntry;
  readonly wait: (ctx: WaitContext) => Promise<void>;
}

interface WaitContext extends Pick<TaskContext<unknown>, 'tenantId' | 'jobId' | 'services'> {
  readonly token: string;
}

/**
 * Defines a task.
 *
 * @example
 * export const task = defineTask(tiny, 'greet', async (ctx) => ({ greeting: `hello ${ctx.input.name}` }));
 */
export function defineTask<Input extends z.ZodMiniObject>(
  workflow: WorkflowEntry<Input>,
  step: string,
  run: (ctx: TaskContext<z.output<Input>>) => Promise<Value>,
): TaskDefinition {
  // Inputs of different workflows meet in one table of tasks; runTask parses with the workflow's own schema before it calls.
  return { workflow: workflow as unknown as WorkflowEntry, step, run: run as TaskDefinition['run'] };
}
