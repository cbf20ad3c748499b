export type UploadPhase = 'hashing' | 'uploading' | 'paused' | 'finalizing' | 'done';

/** How far an upload is. `bytesSent` and `percent` never go down; parts that the server had already count as sent. */
export interface UploadProgress {
  readonly phase: UploadPhase;
  readonly bytesSent: number;
  readonly bytesTotal: number;
  /** 0–100, rounded down; 100 only when every part is acknowledged. */
  readonly percent: number;
  readonly partsDone: number;
  readonly partCount: number;
  /** Of the last few seconds; 0 until there is a measure. */
  readonly bytesPerSecond: number;
  /** Undefined until there is a measure. */
  readonly etaSeconds: number | undefined;
}

const REPORT_EVERY_MS = 100;
/** The rate is measured over this window, sampled so often. */
const RATE_WINDOW_MS = 5_000;
const SAMPLE_EVERY_MS = 250;

/** How many bytes a second were sent in the last few seconds. */
export class RateMeter {
  #samples: { ms: number; bytes: number }[] = [];

  /** `bytes` sent in all until now; answers 0 until there is a measure. */
  measure(bytes: number, ms: number): number {
    const last = this.#samples.at(-1);
    if (!last || ms - last.ms >= SAMPLE_EVERY_MS) this.#samples.push({ ms, bytes });
    while (this.#samples.length > 2 && ms - (this.#samples[0]?.ms ?? ms) > RATE_WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (!first || ms - first.ms < SAMPLE_EVERY_MS) return 0;
    return Math.round(((bytes - first.bytes) * 1_000) / (ms - first.ms));
  }

  /** Forgets what was: after a pause the rate is measured anew. */
  reset(): void {
    this.#samples = [];
  }
}

/** Adds up what the parts report and tells it at most ten times a second, and at every change of phase. */
export class ProgressMeter {
  readonly #bytesTotal: number;
  readonly #report: (progress: UploadProgress) => void;
  readonly #inFlight = new Map<number, number>();
  readonly #done = new Set<number>();
  readonly #rate = new RateMeter();
  #phase: UploadPhase = 'hashing';
  #paused = false;
  #partCount = 0;
  #doneBytes = 0;
  #sentHere = 0;
  #highest = 0;
  #reportedMs = 0;

  constructor(bytesTotal: number, report: (progress: UploadProgress) => void = () => {}) {
    this.#bytesTotal = bytesTotal;
    this.#report = report;
  }

  /** Bytes sent by this run, those of attempts that failed among them. */
  get sentHere(): number {
    return this.#sentHere;
  }

  start(partCount: number): void {
    this.#partCount = partCount;
    this.#tell(true);
  }

  enter(phase: UploadPhase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#tell(true);
  }

  pause(paused: boolean): void {
    if (paused === this.#paused || this.#phase === 'done') return;
    this.#paused = paused;
    this.#rate.reset();
    this.#tell(true);
  }

  /** Bytes of the present attempt at a part; 0 when it begins again. */
  partBytes(partNumber: number, sent: number): void {
    const before = this.#inFlight.get(partNumber) ?? 0;
    this.#sentHere += Math.max(0, sent - before);
    this.#inFlight.set(partNumber, sent);
    if (this.#phase === 'hashing') this.enter('uploading');
    this.#tell(false);
  }

  partDone(partNumber: number, sizeBytes: number): void {
    this.#inFlight.delete(partNumber);
    if (!this.#done.has(partNumber)) this.#doneBytes += sizeBytes;
    this.#done.add(partNumber);
    this.#tell(false);
  }

  #tell(now: boolean): void {
    const ms = performance.now();
    const bytesPerSecond = this.#paused ? 0 : this.#rate.measure(this.#sentHere, ms);
    if (!now && ms - this.#reportedMs < REPORT_EVERY_MS) return;
    this.#reportedMs = ms;
    this.#report(this.#snapshot(bytesPerSecond));
  }

  #snapshot(bytesPerSecond: number): UploadProgress {
    let bytes = this.#doneBytes;
    for (const sent of this.#inFlight.values()) bytes += sent;
    this.#highest = Math.max(this.#highest, bytes);
    const allDone = this.#phase === 'finalizing' || this.#phase === 'done';
    const bytesSent = allDone ? this.#bytesTotal : Math.min(this.#highest, this.#bytesTotal);
    const percent = Math.floor((100 * bytesSent) / Math.max(1, this.#bytesTotal));
    return {
      phase: this.#paused ? 'paused' : this.#phase,
      bytesSent,
      bytesTotal: this.#bytesTotal,
      percent: allDone ? 100 : Math.min(99, percent),
      partsDone: allDone ? this.#partCount : this.#done.size,
      partCount: this.#partCount,
      bytesPerSecond,
      etaSeconds: bytesPerSecond > 0 ? Math.ceil((this.#bytesTotal - bytesSent) / bytesPerSecond) : undefined,
    };
  }
}
