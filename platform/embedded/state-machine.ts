import { ExecutionError, StateMachine, type StateMachineDefinition } from 'aws-local-stepfunctions';
import { mapAtMost } from '../ports/map-at-most.ts';
import type { Value } from '../ports/table.ts';
import { MAX_STATE_BYTES } from '../ports/workflow-bounds.ts';
import { MAX_TIMER_MS } from './max-timer.ts';
import { namedError } from './named-error.ts';
import type { TokenTimes, TokenWait } from './task-tokens.ts';

/** For the interpreter, which counts the wait for a thread: the timeouts of tasks are the pool's. */
const NO_TIMEOUT_SECONDS = Math.floor(MAX_TIMER_MS / 1_000);
/** Of an inline Map (AWS). */
const MAX_MAP_CONCURRENCY = 40;
const INVOKE = 'arn:aws:states:::lambda:invoke';
const INVOKE_AND_WAIT = `${INVOKE}.waitForTaskToken`;

interface TaskCall {
  readonly state: string;
  readonly payload: Value;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What one run of a machine, or of a part of it, has around it. */
export interface MachineRun {
  /** Ends the run: nothing new starts, running tasks get it. */
  readonly signal: AbortSignal;
  /** The context object, `$$`. */
  readonly context: Readonly<Record<string, unknown>>;
  readonly runTask: (call: TaskCall) => Promise<Value>;
  readonly openToken: (times: TokenTimes) => TokenWait;
}

/** Stands in for a Task, Map or Parallel state: gets the state's input or parameters, answers its result. */
type Work = (input: Value, run: MachineRun) => Promise<Value>;
type State = Readonly<Record<string, unknown>>;
interface Definition {
  readonly StartAt: string;
  readonly States: Readonly<Record<string, State>>;
}

/** Checks a definition in Amazon States Language (JSONPath) and makes it runnable. */
export function compileStateMachine(name: string, definition: unknown): RunnableMachine {
  const whole = definition as StateMachineDefinition;
  try {
    new StateMachine(whole, { validationOptions: { checkArn: false } });
    const { TimeoutSeconds, ...machine } = whole;
    return new RunnableMachine(machine as unknown as Definition, TimeoutSeconds);
  } catch (error) {
    throw new Error(`the state machine ${name} cannot be run: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * A machine whose parts end before it does: the interpreter walks through the states, while Map and Parallel are run
 * here, as it neither stops the items that wait when one has failed, nor waits for those that run.
 */
export class RunnableMachine {
  readonly timeoutMs: number | undefined;
  readonly #machine: StateMachine;
  readonly #works = new Map<string, Work>();

  constructor(definition: Definition, timeoutSeconds?: number) {
    const states = Object.entries(definition.States).map(([name, state]) => {
      const { state: plain, work } = plainState(name, state);
      if (work) this.#works.set(name, work);
      return [name, plain];
    });
    this.#machine = machineOf({ ...definition, States: Object.fromEntries(states) });
    this.timeoutMs = timeoutSeconds === undefined ? undefined : timeoutSeconds * 1_000;
  }

  /** Settles when nothing of the run goes on any more. Throws the error that the machine failed with. */
  async run(input: Value, run: MachineRun): Promise<Value> {
    run.signal.throwIfAborted();
    const running = new Set<Promise<Value>>();
    const handlers = [...this.#works].map(([state, work]) => [
      state,
      async (stateInput: Value) => {
        if (run.signal.aborted) throw new StoppedError();
        const result = work(stateInput, run);
        running.add(result);
        return result.finally(() => running.delete(result));
      },
    ]);
    const execution = this.#machine.run(input as never, {
      overrides: { taskResourceLocalHandlers: Object.fromEntries(handlers) },
      context: run.context,
    });
    run.signal.addEventListener('abort', execution.abort, { once: true });
    try {
      return await execution.result;
    } catch (error) {
      throw causeOf(error);
    } finally {
      run.signal.removeEventListener('abort', execution.abort);
      await Promise.allSettled(running);
    }
  }
}

/** The interpreter asks its errors whether Retry and Catch may take them: what was stopped must not begin anew. */
class StoppedError extends Error {
  readonly isRetryable = false;
  readonly isCatchable = false;
}

function machineOf(definition: Definition): StateMachine {
  return new StateMachine(definition as unknown as StateMachineDefinition, { validationOptions: { noValidate: true } });
}

/** A state as the interpreter gets it: Map and Parallel as Tasks. */
function plainState(name: string, state: State): { state: State; work?: Work } {
  const asTask = (rest: State) => ({ ...rest, Type: 'Task', Resource: INVOKE, TimeoutSeconds: NO_TIMEOUT_SECONDS });
  if (state.Type === 'Task' && state.Resource === INVOKE_AND_WAIT) {
    // The interpreter knows no `$$.Task.Token`.
    const { Parameters, HeartbeatSeconds, ...rest } = state;
    return { state: asTask(rest), work: waitingWork(name, state) };
  }
  if (state.Type === 'Task') return { state: asTask(state), work: taskWork(name, state) };
  if (state.Type === 'Parallel') {
    const { Branches, ...rest } = state;
    return { state: asTask(rest), work: parallelWork(Branches as Definition[]) };
  }
  if (state.Type === 'Map') {
    const {
      ItemsPath,
      ItemSelector,
      Parameters,
      ItemProcessor,
      Iterator,
      MaxConcurrency,
      MaxConcurrencyPath,
      ...rest
    } = state;
    return { state: asTask(rest), work: mapWork(state) };
  }
  return { state };
}

function taskWork(name: string, state: State): Work {
  if (state.Resource !== INVOKE) throw new Error(`${name}: tasks run by ${INVOKE} alone`);
  if (typeof state.TimeoutSeconds !== 'number') throw new Error(`${name}: a Task has TimeoutSeconds`);
  const timeoutMs = state.TimeoutSeconds * 1_000;
  return async (parameters, { runTask, signal }) => {
    const { Payload = {} } = parameters as { Payload?: Value };
    const result = await runTask({ state: name, payload: Payload, timeoutMs, signal });
    const bytes = Buffer.byteLength(JSON.stringify(result));
    if (bytes > MAX_STATE_BYTES) {
      const message = `the result of ${name} has ${bytes} bytes, more than ${MAX_STATE_BYTES}`;
      throw namedError('States.DataLimitExceeded', message);
    }
    return { Payload: result };
  };
}

/** Runs the task, whose result is nothing, and waits for the answer to its token. */
function waitingWork(name: string, state: State): Work {
  if (typeof state.TimeoutSeconds !== 'number') throw new Error(`${name}: a Task has TimeoutSeconds`);
  const timeoutMs = state.TimeoutSeconds * 1_000;
  const heartbeatMs = typeof state.HeartbeatSeconds === 'number' ? state.HeartbeatSeconds * 1_000 : undefined;
  const parametersOf = evaluation({ Parameters: state.Parameters });
  return async (input, { context, runTask, openToken, signal }) => {
    const wait = openToken({ state: name, heartbeatMs, timeoutMs, signal });
    try {
      const parameters = await parametersOf(input, { ...context, Task: { Token: wait.token } });
      const { Payload = {} } = parameters as { Payload?: Value };
      await runTask({ state: name, payload: Payload, timeoutMs, signal });
      return await wait.answered;
    } finally {
      wait.end();
    }
  };
}

function parallelWork(branches: readonly Definition[]): Work {
  const machines = branches.map((branch) => new RunnableMachine(branch));
  return (input, run) => runEach(machines, machines.length, run, (machine, _index, part) => machine.run(input, part));
}

function mapWork(state: State): Work {
  const processor = (state.ItemProcessor ?? state.Iterator) as Definition & { ProcessorConfig?: { Mode?: string } };
  if (processor.ProcessorConfig?.Mode === 'DISTRIBUTED') throw new Error('a Map is INLINE');
  const machine = new RunnableMachine(processor);
  const itemsOf = evaluation({ InputPath: state.ItemsPath ?? '$' });
  const concurrencyOf = state.MaxConcurrencyPath
    ? evaluation({ InputPath: state.MaxConcurrencyPath })
    : async () => (state.MaxConcurrency ?? 0) as Value;
  const selector = state.ItemSelector ?? state.Parameters;
  const select = selector ? evaluation({ Parameters: selector }) : undefined;

  return async (input, run) => {
    const items = await itemsOf(input, run.context);
    if (!Array.isArray(items)) throw new Error('the items of a Map are an array');
    const concurrency = Number(await concurrencyOf(input, run.context)) || MAX_MAP_CONCURRENCY;
    return runEach(items, concurrency, run, async (item, index, part) => {
      const context = { ...part.context, Map: { Item: { Index: index, Value: item } } };
      return machine.run(select ? await select(input, context) : item, { ...part, context });
    });
  };
}

/** Evaluates a path or a payload template, by a machine of one Pass state. */
function evaluation(fields: State): (input: Value, context: MachineRun['context']) => Promise<Value> {
  const machine = machineOf({ StartAt: 'Pass', States: { Pass: { Type: 'Pass', ...fields, End: true } } });
  return (input, context) =>
    machine.run(input as never, { context }).result.catch((error) => {
      throw causeOf(error);
    });
}

function causeOf(error: unknown): unknown {
  return error instanceof ExecutionError ? error.cause : error;
}

/**
 * Runs a part for every item, at most `concurrency` at once. The first failure stops the others, and is thrown when
 * the last of them has ended.
 */
async function runEach<T>(
  items: readonly T[],
  concurrency: number,
  run: MachineRun,
  runOne: (item: T, index: number, run: MachineRun) => Promise<Value>,
): Promise<Value> {
  const failed = new AbortController();
  const signal = AbortSignal.any([run.signal, failed.signal]);
  const results = await mapAtMost(concurrency, items, async (item, index) => {
    signal.throwIfAborted();
    return runOne(item, index, { ...run, signal }).catch((error: unknown) => {
      failed.abort(error);
      throw error;
    });
  });
  signal.throwIfAborted();
  return results;
}
