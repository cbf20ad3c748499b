import { randomUUID } from 'node:crypto';
import type { Value } from '../ports/table.ts';
import { MAX_TIMER_MS } from './max-timer.ts';
import { namedError } from './named-error.ts';

/** A Task state that waits for the answer to its token. */
export interface TokenWait {
  readonly token: string;
  /** The answer. Throws `States.HeartbeatTimeout`, `States.Timeout`, or the reason of the signal. */
  readonly answered: Promise<Value>;
  /** From then on nobody waits for it. */
  end(): void;
}

export interface TokenTimes {
  readonly state: string;
  readonly heartbeatMs: number | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface Waiting {
  answer(output: Value): void;
  beat(): void;
}

/**
 * The tokens that Task states wait for. They live as long as the executions that wait, which a restart ends: the job's next
 * execution runs the state's task again, with a new token.
 */
export class TaskTokens {
  readonly #waiting = new Map<string, Waiting>();

  open({ state, heartbeatMs, timeoutMs, signal }: TokenTimes): TokenWait {
    const token = randomUUID();
    const { promise: answered, resolve, reject } = Promise.withResolvers<Value>();
    // It may fail while the state's task still runs, when nobody listens yet.
    answered.catch(() => undefined);
    const failAfter = (ms: number, name: string, what: string) =>
      setTimeout(() => reject(namedError(name, `${state} ${what} ${ms / 1_000} s`)), Math.min(ms, MAX_TIMER_MS));
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const timeout = failAfter(timeoutMs, 'States.Timeout', 'took longer than');
    const startHeart = () =>
      heartbeatMs === undefined ? undefined : failAfter(heartbeatMs, 'States.HeartbeatTimeout', 'had no heartbeat for');
    let heart = startHeart();
    this.#waiting.set(token, {
      answer: resolve,
      beat: () => {
        clearTimeout(heart);
        heart = startHeart();
      },
    });
    const end = () => {
      this.#waiting.delete(token);
      clearTimeout(timeout);
      clearTimeout(heart);
      signal.removeEventListener('abort', onAbort);
    };
    answered.then(end, end);
    return { token, answered, end };
  }

  /** Whether a state waited for it. */
  answer(token: string, output: Value): boolean {
    const waiting = this.#waiting.get(token);
    // Now, not when the state goes on: a second answer is not one.
    this.#waiting.delete(token);
    waiting?.answer(output);
    return waiting !== undefined;
  }

  heartbeat(token: string): boolean {
    const waiting = this.#waiting.get(token);
    waiting?.beat();
    return waiting !== undefined;
  }
}
