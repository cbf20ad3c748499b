import { abortedError } from '../errors.ts';
import type { Concurrency } from './concurrency.ts';

interface Waiting {
  readonly owner: object;
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * The places for parts in flight, shared by all files of a call. A free place goes to the file that has the fewest, so
 * that a small file need not wait until a large one is through.
 */
export class PartSlots {
  readonly #concurrency: Concurrency;
  readonly #maxBytes: number;
  readonly #waiting: Waiting[] = [];
  readonly #inUse = new Map<object, number>();
  #count = 0;
  #bytes = 0;

  /** Parts in flight have at most `maxBytes` together, unless it is one part alone. */
  constructor(concurrency: Concurrency, maxBytes = Number.POSITIVE_INFINITY) {
    this.#concurrency = concurrency;
    this.#maxBytes = maxBytes;
  }

  /** Waits for a place and answers with the function that gives it back. Throws `AbortedError`. */
  acquire(owner: object, bytes: number, signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortedError(signal));
      const stop = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(abortedError(signal));
        this.#grant();
      };
      const waiting = {
        owner,
        bytes,
        start: () => {
          signal.removeEventListener('abort', stop);
          resolve(() => this.#release(owner, bytes));
        },
      };
      signal.addEventListener('abort', stop, { once: true });
      this.#waiting.push(waiting);
      this.#grant();
    });
  }

  sent(bytes: number): void {
    if (this.#count < this.#concurrency.limit) return;
    this.#concurrency.sent(bytes, performance.now());
    this.#grant();
  }

  failed(): void {
    this.#concurrency.failed(performance.now());
  }

  #release(owner: object, bytes: number): void {
    const left = (this.#inUse.get(owner) ?? 1) - 1;
    if (left > 0) this.#inUse.set(owner, left);
    else this.#inUse.delete(owner);
    this.#count -= 1;
    this.#bytes -= bytes;
    this.#grant();
    if (this.#count < this.#concurrency.limit) this.#concurrency.idle();
  }

  #grant(): void {
    while (this.#count < this.#concurrency.limit) {
      const next = this.#next();
      // A large part is not passed by smaller ones for ever: they wait with it.
      if (!next || (this.#count > 0 && this.#bytes + next.bytes > this.#maxBytes)) return;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#inUse.set(next.owner, (this.#inUse.get(next.owner) ?? 0) + 1);
      this.#count += 1;
      this.#bytes += next.bytes;
      next.start();
    }
  }

  #next(): Waiting | undefined {
    const has = ({ owner }: Waiting) => this.#inUse.get(owner) ?? 0;
    let best = this.#waiting[0];
    for (const waiting of this.#waiting) if (best && has(waiting) < has(best)) best = waiting;
    return best;
  }
}
