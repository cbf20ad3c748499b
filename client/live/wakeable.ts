import { abortedError } from '../errors.ts';

/** Lets one waiter sleep until it is woken; a call that nobody waits for counts for the next one. */
export class Wakeable {
  #wake: (() => void) | undefined;
  #called = false;

  wake(): void {
    this.#called = true;
    this.#wake?.();
  }

  /** False when nobody has called within that time; throws `AbortedError` as soon as the signal is aborted. */
  async sleep(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (signal?.aborted) throw abortedError(signal);
    if (!this.#called) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, ms);
        function done() {
          clearTimeout(timer);
          signal?.removeEventListener('abort', done);
          resolve();
        }
        this.#wake = done;
        signal?.addEventListener('abort', done, { once: true });
      });
      this.#wake = undefined;
      if (signal?.aborted) throw abortedError(signal);
    }
    const called = this.#called;
    this.#called = false;
    return called;
  }
}
