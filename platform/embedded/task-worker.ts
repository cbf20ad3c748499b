import { parentPort } from 'node:worker_threads';
import type { Value } from '../ports/table.ts';

/** One run of a Task state, as its worker thread sees it. */
export interface WorkerTask {
  readonly workflow: string;
  readonly state: string;
  readonly payload: Value;
  /** Unique among all runs. */
  readonly runId: string;
  /** When its time is up. */
  readonly deadline: Date;
  /** Aborted when the execution ends, a sibling in its Map fails or the time is up; 3 s later the thread is ended. */
  readonly signal: AbortSignal;
}

/** An error on its way between threads: what a state machine's Retry and Catch, and a log, need of it. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

export type ToWorker =
  | { readonly kind: 'run'; readonly task: Omit<WorkerTask, 'signal'> }
  | { readonly kind: 'abort'; readonly reason: WireError };

/** A result travels as JSON, as it does from a Lambda. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly result: string }
  | { readonly kind: 'failed'; readonly error: WireError };

export function toWire(error: unknown): WireError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  return { name: error.name, message: error.message, stack: error.stack };
}

export function fromWire(wire: WireError): Error {
  return Object.assign(new Error(wire.message), wire);
}

/**
 * Makes the module that calls it a worker of a `TaskPool`: `run` gets one task at a time.
 *
 * @example
 * serveTasks(async (task) => ({ greeting: `hello from ${task.state}` }));
 */
export function serveTasks(run: (task: WorkerTask) => Promise<Value>): void {
  if (!parentPort) throw new Error('serveTasks is for modules that a TaskPool starts');
  const port = parentPort;
  const send = (message: FromWorker) => port.postMessage(message);
  let current: AbortController | undefined;

  const serve = async (task: Omit<WorkerTask, 'signal'>): Promise<FromWorker> => {
    current = new AbortController();
    try {
      const result = await run({ ...task, signal: current.signal });
      return { kind: 'done', result: JSON.stringify(result ?? null) };
    } catch (error) {
      return { kind: 'failed', error: toWire(error) };
    }
  };
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'abort') current?.abort(fromWire(message.reason));
    else serve(message.task).then(send);
  });
  send({ kind: 'ready' });
}
