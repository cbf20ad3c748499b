import { ProgressMeter, RateMeter, type UploadProgress } from './progress.ts';

/** How far the upload of many files is. `bytesSent` and `percent` never go down. */
export interface UploadManyProgress {
  readonly bytesSent: number;
  readonly bytesTotal: number;
  /** 0–100, rounded down; 100 only when every file is uploaded. */
  readonly percent: number;
  readonly filesDone: number;
  readonly filesFailed: number;
  readonly fileCount: number;
  /** Of the last few seconds; 0 until there is a measure. */
  readonly bytesPerSecond: number;
  /** Undefined until there is a measure. */
  readonly etaSeconds: number | undefined;
  /** The file that has moved. */
  readonly file: UploadProgress & { readonly path: string };
}

/** Adds up what the files of a call report. */
export class TotalProgress {
  readonly #report: (progress: UploadManyProgress) => void;
  readonly #rate = new RateMeter();
  readonly #fileCount: number;
  readonly #bytesTotal: number;
  #bytesSent = 0;
  #sentHere = 0;
  #filesDone = 0;
  #filesFailed = 0;

  constructor(files: readonly { sizeBytes: number }[], report: (progress: UploadManyProgress) => void = () => {}) {
    this.#fileCount = files.length;
    this.#bytesTotal = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#report = report;
  }

  failed(): void {
    this.#filesFailed += 1;
  }

  /** The meter of one file, whose every report is one of the whole. */
  meterOf(path: string, sizeBytes: number): ProgressMeter {
    let before = { bytesSent: 0, sentHere: 0 };
    const meter = new ProgressMeter(sizeBytes, (progress) => {
      const { bytesSent, phase } = progress;
      this.#bytesSent += bytesSent - before.bytesSent;
      this.#sentHere += meter.sentHere - before.sentHere;
      before = { bytesSent, sentHere: meter.sentHere };
      if (phase === 'done') this.#filesDone += 1;
      if (phase === 'paused') this.#rate.reset();
      this.#tell({ ...progress, path });
    });
    return meter;
  }

  #tell(file: UploadManyProgress['file']): void {
    const [bytesSent, bytesTotal] = [this.#bytesSent, this.#bytesTotal];
    const bytesPerSecond = this.#rate.measure(this.#sentHere, performance.now());
    const allDone = this.#filesDone === this.#fileCount;
    const percent = Math.floor((100 * bytesSent) / Math.max(1, bytesTotal));
    this.#report({
      bytesSent,
      bytesTotal,
      percent: allDone ? 100 : Math.min(99, percent),
      filesDone: this.#filesDone,
      filesFailed: this.#filesFailed,
      fileCount: this.#fileCount,
      bytesPerSecond,
      etaSeconds: bytesPerSecond > 0 ? Math.ceil((bytesTotal - bytesSent) / bytesPerSecond) : undefined,
      file,
    });
  }
}
