import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Value } from '../ports/table.ts';
import { MAX_TIMER_MS } from './max-timer.ts';
import { namedError } from './named-error.ts';
import { type FromWorker, fromWire, type ToWorker, toWire } from './task-worker.ts';

/** How long a task may go on after its signal before its thread is ended. */
const ABORT_GRACE_MS = 3_000;
/** A thread without a task ends after this long and gives its memory back. */
const IDLE_MS = 60_000;
/** JavaScript heap of a thread: what the largest of our Lambdas has in all. */
const HEAP_MIB = 1_769;
/**
 * A thread that fills its heap has 16 MiB more to end in, else V8 ends the whole process. Surviving young objects count
 * too: with the default of 48 MiB one in four such tasks took the process along, with this one in 18; no slower.
 */
const YOUNG_HEAP_MIB = 8;

export interface PooledTask {
  readonly workflow: string;
  readonly state: string;
  readonly payload: Value;
  readonly signal: AbortSignal;
  /** Counted from when a thread takes it, not from when it began to wait for one. */
  readonly timeoutMs: number;
}

/**
 * Runs tasks in worker threads, one at a time in each, first come first served. `workerFile` calls `serveTasks`.
 * `threads`: as many as there are cores, at least 2.
 */
export class TaskPool {
  readonly #threads = new Set<TaskThread>();
  readonly #idle: TaskThread[] = [];
  readonly #slots: Slots;
  readonly #start: () => Worker;
  readonly #idleMs: number;
  readonly #runs = new Set<string>();
  #closed = false;

  constructor(options: {
    workerFile: URL;
    workerData?: unknown;
    threads?: number;
    heapMiB?: number;
    idleMs?: number;
  }) {
    const { workerFile, workerData, threads = Math.max(2, availableParallelism()) } = options;
    const { heapMiB = HEAP_MIB, idleMs = IDLE_MS } = options;
    this.#idleMs = idleMs;
    const resourceLimits = { maxOldGenerationSizeMb: heapMiB, maxYoungGenerationSizeMb: YOUNG_HEAP_MIB };
    this.#start = () => new Worker(workerFile, { workerData, resourceLimits });
    this.#slots = new Slots(threads);
  }

  /**
   * Settles when nothing of the task runs any more. Throws what the task threw, with its name; `States.Timeout`;
   * the reason of the signal; or `Lambda.Unknown` when the thread ended under it. One that fills its heap at a stroke
   * may end the process: see `LocalWorkflows.recover`.
   */
  async run(task: PooledTask): Promise<Value> {
    await this.#slots.take(task.signal);
    try {
      if (this.#closed) throw crashError('the pool is closed');
      return await this.#runInThread(task);
    } finally {
      this.#slots.give();
    }
  }

  /** Whether the run with this `WorkerTask.runId` goes on. */
  isRunning(runId: string): boolean {
    return this.#runs.has(runId);
  }

  /** Ends all threads, whatever they do; what still waits for one fails. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#threads].map((thread) => thread.end()));
  }

  async #runInThread(task: PooledTask): Promise<Value> {
    const thread = this.#idle.pop() ?? this.#startThread();
    const runId = randomUUID();
    this.#runs.add(runId);
    try {
      return await thread.run(task, runId);
    } finally {
      this.#runs.delete(runId);
      if (!thread.ended) {
        this.#idle.push(thread);
        thread.rest(this.#idleMs, () => this.#leaveIdle(thread));
      }
    }
  }

  #startThread(): TaskThread {
    const thread = new TaskThread(this.#start(), () => {
      this.#threads.delete(thread);
      this.#leaveIdle(thread);
    });
    this.#threads.add(thread);
    return thread;
  }

  #leaveIdle(thread: TaskThread): void {
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
  }
}

/** Lets `count` holders in at a time, in order of arrival. */
class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(enter);
        reject(signal.reason);
      };
      const enter = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.add(enter);
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (!next) this.#free += 1;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}

class TaskThread {
  readonly #worker: Worker;
  readonly #ready: Promise<void>;
  #idleTimer: NodeJS.Timeout | undefined;
  #crash: unknown;
  #ended = false;
  /** The message or end of the thread that the present wait is for. */
  #settle: ((message: FromWorker | undefined) => void) | undefined;

  constructor(worker: Worker, onEnd: () => void) {
    this.#worker = worker;
    worker.on('message', (message: FromWorker) => this.#settle?.(message));
    worker.on('error', (error) => {
      this.#crash = error;
    });
    worker.on('exit', (code) => {
      this.#ended = true;
      this.#crash ??= `exit code ${code}`;
      onEnd();
      this.#settle?.(undefined);
    });
    this.#ready = this.#nextMessage().then(() => undefined);
  }

  get ended(): boolean {
    return this.#ended;
  }

  async run({ workflow, state, payload, signal, timeoutMs }: PooledTask, runId: string): Promise<Value> {
    clearTimeout(this.#idleTimer);
    this.#worker.ref();
    let stopReason: unknown;
    let grace: NodeJS.Timeout | undefined;
    const stop = (reason: unknown) => {
      if (grace) return;
      stopReason = reason;
      this.#send({ kind: 'abort', reason: toWire(reason) });
      grace = setTimeout(() => this.end(), ABORT_GRACE_MS);
    };
    const onAbort = () => stop(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.#ready;
      if (stopReason) throw stopReason;
      timer = setTimeout(() => stop(timeoutError(state, timeoutMs)), Math.min(timeoutMs, MAX_TIMER_MS));
      const deadline = new Date(Date.now() + timeoutMs);
      this.#send({ kind: 'run', task: { workflow, state, payload, runId, deadline } });
      return resultOf(await this.#nextMessage());
    } catch (error) {
      throw stopReason ?? error;
    } finally {
      clearTimeout(timer);
      clearTimeout(grace);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** An idle thread doesn't keep the process alive. `leave`: called before it ends, which takes a moment. */
  rest(idleMs: number, leave: () => void): void {
    this.#worker.unref();
    this.#idleTimer = setTimeout(() => {
      leave();
      void this.end();
    }, idleMs).unref();
  }

  async end(): Promise<void> {
    clearTimeout(this.#idleTimer);
    await this.#worker.terminate();
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #nextMessage(): Promise<FromWorker> {
    return new Promise((resolve, reject) => {
      const settle = (message: FromWorker | undefined) => {
        this.#settle = undefined;
        if (message) resolve(message);
        else reject(crashError(this.#crash));
      };
      this.#settle = settle;
      if (this.#ended) settle(undefined);
    });
  }
}

function resultOf(message: FromWorker): Value {
  if (message.kind === 'failed') throw fromWire(message.error);
  return message.kind === 'done' ? JSON.parse(message.result) : null;
}

/** The names that Step Functions gives such ends of a Lambda, so that the same Retry matches. */
function crashError(crash: unknown): Error {
  const why = crash instanceof Error ? crash.message : String(crash);
  return namedError('Lambda.Unknown', `the worker thread ended: ${why}`, { cause: crash });
}

function timeoutError(state: string, timeoutMs: number): Error {
  return namedError('States.Timeout', `${state} took longer than ${timeoutMs / 1_000} s`);
}
