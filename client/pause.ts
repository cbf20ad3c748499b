import { abortedError } from './errors.ts';

/** Something that says whether uploads are to stand still. */
export interface PauseSource {
  readonly paused: boolean;
  /** Has `listener` called at every change, until the function that it answers with is called. */
  subscribe(listener: () => void): () => void;
}

/**
 * Pauses uploads, and lets them go on: parts in flight are cut and sent again later, nothing counts as an error, and what
 * was signed too long ago by then is signed again. One controller may be given to any number of uploads.
 *
 * @example
 * const pause = new PauseController();
 * const file = millrace.uploads.upload(source, { pause });
 * button.onclick = () => (pause.paused ? pause.resume() : pause.pause());
 */
export class PauseController implements PauseSource {
  readonly #listeners = new Set<() => void>();
  #paused = false;

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#set(true);
  }

  resume(): void {
    this.#set(false);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #set(paused: boolean): void {
    if (paused === this.#paused) return;
    this.#paused = paused;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** What the requests of one call go through: closed as long as one of its sources is paused. */
export class Gate {
  readonly #sources: readonly PauseSource[];
  readonly #unsubscribe: readonly (() => void)[];
  readonly #changed = new Set<() => void>();
  #cut = new AbortController();
  #closed = false;

  constructor(sources: readonly PauseSource[]) {
    this.#sources = sources;
    this.#unsubscribe = sources.map((source) => source.subscribe(() => this.#look()));
    this.#look();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Aborted when the gate closes; a new one each time it opens. */
  get cut(): AbortSignal {
    return this.#cut.signal;
  }

  /** Resolves at once, or when the gate opens; answers whether there was a wait. Throws `AbortedError`. */
  async pass(signal: AbortSignal | undefined): Promise<boolean> {
    if (!this.#closed) return false;
    while (this.#closed) await this.#nextChange(signal);
    return true;
  }

  subscribe(listener: () => void): () => void {
    this.#changed.add(listener);
    return () => void this.#changed.delete(listener);
  }

  /** Listens to its sources no longer. */
  end(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  #look(): void {
    const closed = this.#sources.some(({ paused }) => paused);
    if (closed === this.#closed) return;
    this.#closed = closed;
    if (closed) this.#cut.abort();
    else this.#cut = new AbortController();
    for (const listener of [...this.#changed]) listener();
  }

  #nextChange(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortedError(signal));
      const stop = () => {
        unsubscribe();
        if (signal) reject(abortedError(signal));
      };
      const unsubscribe = this.subscribe(() => {
        unsubscribe();
        signal?.removeEventListener('abort', stop);
        resolve();
      });
      signal?.addEventListener('abort', stop, { once: true });
    });
  }
}
