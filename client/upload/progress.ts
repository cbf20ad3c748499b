export type UploadPhase = 'hashing' | 'uploading' | 'finalizing' | 'done';

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

/** Adds up what the parts report and tells it at most ten times a second, and at every change of phase. */
export class ProgressMeter {
  readonly #bytesTotal: number;
  readonly #report: (progress: UploadProgress) => void;
  readonly #inFlight = new Map<number, number>();
  readonly #done = new Set<number>();
  #phase: UploadPhase = 'hashing';
  #partCount = 0;
  #doneBytes = 0;
  #sentHere = 0;
  #highest = 0;
  #reportedMs = 0;
  #samples: { ms: number; bytes: number }[] = [];

  constructor(bytesTotal: number, report: (progress: UploadProgress) => void = () => {}) {
    this.#bytesTotal = bytesTotal;
    this.#report = report;
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
    const last = this.#samples.at(-1);
    if (!last || ms - last.ms >= SAMPLE_EVERY_MS) this.#samples.push({ ms, bytes: this.#sentHere });
    while (this.#samples.length > 2 && ms - (this.#samples[0]?.ms ?? ms) > RATE_WINDOW_MS) this.#samples.shift();
    if (!now && ms - this.#reportedMs < REPORT_EVERY_MS) return;
    this.#reportedMs = ms;
    this.#report(this.#snapshot(ms));
  }

  #snapshot(ms: number): UploadProgress {
    let bytes = this.#doneBytes;
    for (const sent of this.#inFlight.values()) bytes += sent;
    this.#highest = Math.max(this.#highest, bytes);
    const allDone = this.#phase === 'finalizing' || this.#phase === 'done';
    const bytesSent = allDone ? this.#bytesTotal : Math.min(this.#highest, this.#bytesTotal);
    const percent = Math.floor((100 * bytesSent) / Math.max(1, this.#bytesTotal));
    const bytesPerSecond = this.#rate(ms);
    return {
      phase: this.#phase,
      bytesSent,
      bytesTotal: this.#bytesTotal,
      percent: allDone ? 100 : Math.min(99, percent),
      partsDone: allDone ? this.#partCount : this.#done.size,
      partCount: this.#partCount,
      bytesPerSecond,
      etaSeconds: bytesPerSecond > 0 ? Math.ceil((this.#bytesTotal - bytesSent) / bytesPerSecond) : undefined,
    };
  }

  #rate(ms: number): number {
    const first = this.#samples[0];
    if (!first || ms - first.ms < SAMPLE_EVERY_MS) return 0;
    return Math.round(((this.#sentHere - first.bytes) * 1_000) / (ms - first.ms));
  }
}
