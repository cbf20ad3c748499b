import type { Log } from '../ports/log.ts';
import type { ScheduledRun } from '../ports/schedule.ts';

/** Runs each on its own, first at start, then `everySeconds` after its run before has ended: a run never overlaps itself. */
export class TimerSchedule {
  readonly #runs: readonly ScheduledRun[];
  readonly #log: Log;
  readonly #timers = new Map<ScheduledRun, NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #started = false;

  constructor(options: { runs: readonly ScheduledRun[]; log: Log }) {
    this.#runs = options.runs;
    this.#log = options.log;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    for (const run of this.#runs) this.#schedule(run, 0);
  }

  /** Begins no more runs and waits for those that go on. */
  async stop(): Promise<void> {
    this.#started = false;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await Promise.all(this.#running);
  }

  #schedule(run: ScheduledRun, afterSeconds: number): void {
    const timer = setTimeout(() => {
      const done = this.#runOnce(run).finally(() => {
        this.#running.delete(done);
        if (this.#started) this.#schedule(run, run.everySeconds);
      });
      this.#running.add(done);
    }, afterSeconds * 1_000);
    this.#timers.set(run, timer);
  }

  async #runOnce(run: ScheduledRun): Promise<void> {
    try {
      await run.run();
    } catch (error) {
      this.#log.error('scheduled run failed', { run: run.name, error });
    }
  }
}
