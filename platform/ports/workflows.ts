import type { Value } from './table.ts';

const EXECUTION_STATES = ['running', 'succeeded', 'failed', 'timed_out', 'aborted'] as const;
export type ExecutionState = (typeof EXECUTION_STATES)[number];

export interface Execution {
  readonly workflow: string;
  readonly name: string;
  readonly state: ExecutionState;
  readonly input: Value;
  /** Of an execution that succeeded. */
  readonly output?: Value;
  /** Of one that failed or timed out. */
  readonly error?: { readonly name: string; readonly cause: string };
}

/** Runs the state machines `statemachines/<workflow>.asl.json`. */
export interface Workflows {
  /**
   * Starts an execution; the same name and input as one that is there already is a success that starts nothing.
   * `name`: 1–80 of `A-Z a-z 0-9 - _`, unique in its workflow for 90 days. `input`: at most 256 KiB of JSON.
   * `WorkflowNotFoundError` if there is no such workflow.
   */
  start(input: { workflow: string; name: string; input: Value }): Promise<void>;

  /**
   * Asks an execution to stop: nothing new starts, running tasks get their signal where the platform has one.
   * Fine if it has ended or never was. Its end is told by the ended event, perhaps while tasks still run.
   */
  stop(input: { workflow: string; name: string; cause: string }): Promise<void>;

  /** Undefined if there is no such execution. */
  describe(input: { workflow: string; name: string }): Promise<Execution | undefined>;

  /**
   * Ends the wait of a Task state (`…lambda:invoke.waitForTaskToken`) that gave its task this token; `output` is its result.
   * False if nobody waits for it any more: it was answered, its heartbeat failed or its execution ended.
   */
  answer(input: { token: string; output: Value }): Promise<boolean>;

  /** Has the state's HeartbeatSeconds begin anew; false as above. */
  heartbeat(input: { token: string }): Promise<boolean>;
}

/** Told at least once for each execution that ended. */
export type ExecutionEnded = (execution: { workflow: string; name: string }) => Promise<void>;
