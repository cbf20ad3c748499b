/** What is done again and again: by EventBridge `rate()` rules, or by timers in the process. */
export interface ScheduledRun {
  readonly name: string;
  /** The pause between runs; a minute at least on AWS. */
  readonly everySeconds: number;
  /** Safe to repeat and to overlap with a run elsewhere. A throw is logged, and the next run comes all the same. */
  run(): Promise<void>;
}
