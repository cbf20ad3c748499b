/** How many parts are sent at the same time. */
export interface Concurrency {
  readonly limit: number;
  /** Bytes were handed to the network while every place was in use. */
  sent(bytes: number, nowMs: number): void;
  /** A place was free: what was measured so far says nothing about the network. */
  idle(): void;
  /** An attempt failed in a way that more load may have caused: a cut connection, a stall, a 503. */
  failed(nowMs: number): void;
}

export function fixedConcurrency(limit: number): Concurrency {
  return { limit, sent: () => {}, idle: () => {}, failed: () => {} };
}

const FIRST_LIMIT = 4;
/** The rate is measured for so long, after the connections of a new limit had so long to get going. */
const MEASURE_MS = 1_500;
const SETTLE_MS = 500;
/** What a raise must bring: doubling 10 %, a quarter more 5 %. Less is noise, and costs connections and memory. */
const RISE_BY_DOUBLING = 1.1;
const RISE_BY_STEP = 1.05;
/** For so long a limit is left alone after a raise that brought nothing, and after failures. */
const HOLD_MS = 10_000;
const RECOVER_MS = 4_000;

/**
 * Sends more parts at the same time for as long as that makes the whole faster, and half as many after failures. It
 * doubles at first; once a raise has brought nothing it is taken back, and from then on a quarter more is tried from time
 * to time, for links change.
 */
export class AdaptiveConcurrency implements Concurrency {
  readonly #max: number;
  #limit: number;
  #doubling = true;
  /** Where a raise began, as long as it is on trial. */
  #before: { readonly limit: number; readonly bytesPerMs: number } | undefined;
  #measure: { readonly fromMs: number; bytes: number } | undefined;
  #settledMs = 0;
  #heldMs = 0;
  #halvedMs = Number.NEGATIVE_INFINITY;

  /** `max`: from 1. */
  constructor(max: number) {
    this.#max = max;
    this.#limit = Math.min(FIRST_LIMIT, max);
  }

  get limit(): number {
    return this.#limit;
  }

  sent(bytes: number, nowMs: number): void {
    if (nowMs < this.#settledMs) return;
    if (!this.#measure) {
      this.#measure = { fromMs: nowMs, bytes: 0 };
      return;
    }
    this.#measure.bytes += bytes;
    const ms = nowMs - this.#measure.fromMs;
    if (ms < MEASURE_MS) return;
    const bytesPerMs = this.#measure.bytes / ms;
    this.#measure = undefined;
    this.#judge(bytesPerMs, nowMs);
  }

  idle(): void {
    this.#measure = undefined;
  }

  failed(nowMs: number): void {
    // Failures come in crowds, of which each is told once.
    if (nowMs - this.#halvedMs < MEASURE_MS) return;
    this.#halvedMs = nowMs;
    this.#doubling = false;
    this.#before = undefined;
    this.#heldMs = nowMs + RECOVER_MS;
    this.#move(Math.max(1, Math.floor(this.#limit / 2)), nowMs);
  }

  #judge(bytesPerMs: number, nowMs: number): void {
    const rise = this.#doubling ? RISE_BY_DOUBLING : RISE_BY_STEP;
    if (this.#before && bytesPerMs < this.#before.bytesPerMs * rise) {
      this.#move(this.#before.limit, nowMs);
      this.#before = undefined;
      this.#doubling = false;
      this.#heldMs = nowMs + HOLD_MS;
      return;
    }
    this.#before = undefined;
    if (nowMs < this.#heldMs || this.#limit === this.#max) return;
    this.#before = { limit: this.#limit, bytesPerMs };
    const raised = this.#doubling ? this.#limit * 2 : this.#limit + Math.ceil(this.#limit / 4);
    this.#move(Math.min(this.#max, raised), nowMs);
  }

  #move(limit: number, nowMs: number): void {
    this.#limit = limit;
    this.#measure = undefined;
    this.#settledMs = nowMs + SETTLE_MS;
  }
}
