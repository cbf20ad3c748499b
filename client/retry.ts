import { backoffMs } from '../contract/backoff.ts';
import { abortedError, checkAborted, MillraceError } from './errors.ts';
import type { Gate } from './pause.ts';

/** Of the pauses between attempts. */
const BACKOFF = { firstMs: 250, longestMs: 10_000 };

/** Whether the same request may succeed later: cut connections, 408, 429 and 5xx. */
export function mayRetry(error: unknown): error is MillraceError {
  if (!(error instanceof MillraceError)) return false;
  if (error.code === 'NetworkError') return true;
  return error.status !== undefined && (error.status === 408 || error.status === 429 || error.status >= 500);
}

/**
 * Counts the failures of one request in a row and waits between attempts. It gives up when both `attempts` and
 * `seconds` since the first failure are used up: attempts that each take minutes get their number, ones that fail at
 * once get their time. What fails while the gate is closed doesn't count, and no attempt begins until it opens.
 */
export class Retries {
  readonly #seconds: number;
  readonly #attempts: number;
  readonly #gate: Gate | undefined;
  #failures = 0;
  #firstFailureMs = 0;

  constructor({ seconds, attempts, gate }: { seconds: number; attempts: number; gate?: Gate | undefined }) {
    this.#seconds = seconds;
    this.#attempts = attempts;
    this.#gate = gate;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Waits for the next attempt, or throws `error` when there is none, or `AbortedError`. */
  async pause(
    error: MillraceError,
    signal: AbortSignal | undefined,
    onRetry?: (error: MillraceError) => void,
  ): Promise<void> {
    checkAborted(signal);
    if (await this.#passed(signal)) return;
    const now = Date.now();
    this.#failures += 1;
    if (this.#failures === 1) this.#firstFailureMs = now;
    // A 500 of the API is a defect: it is worth two more attempts, not minutes. A gateway's 502 tells of one that died.
    const isDefect = error.code === 'InternalError' && error.status === 500;
    const attempts = isDefect ? 3 : this.#attempts;
    const leftMs = (isDefect ? 0 : this.#seconds * 1_000) - (now - this.#firstFailureMs);
    const askedMs = (error.retryAfterSeconds ?? 0) * 1_000;
    const hasAttempts = this.#failures < attempts;
    if (!hasAttempts && leftMs <= askedMs) throw error;
    const drawnMs = backoffMs(this.#failures, BACKOFF);
    // The last attempt is made when the time ends, not left out because the pause before it would be longer.
    const pauseMs = Math.max(hasAttempts ? drawnMs : Math.min(drawnMs, leftMs), askedMs);
    onRetry?.(error);
    await sleep(pauseMs, signal);
    await this.#passed(signal);
  }

  /** Waits while the gate is closed; after that the failures before are forgotten. */
  async #passed(signal: AbortSignal | undefined): Promise<boolean> {
    const waited = (await this.#gate?.pass(signal)) ?? false;
    if (waited) this.#failures = 0;
    return waited;
  }
}

/** Throws `AbortedError` as soon as the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortedError(signal));
    const stop = () => {
      clearTimeout(timer);
      if (signal) reject(abortedError(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
