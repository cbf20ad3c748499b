import { cp, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Job, Millrace, memoryStateStore } from '../../client/index.ts';
import { isRetryable } from '../../contract/errors.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { lackOf } from '../support/capabilities.ts';
import { type Crash, startCrashingServer } from '../support/crashing-server.ts';
import { checkDataFolder, isQuiet, newDataFolder, readEffects } from '../support/data-folder.ts';
import { patiently, target, tempFolder, unless, until } from '../support/e2e-world.ts';
import { faultsSeed } from '../support/random.ts';

const lack = lackOf('a server process that can be killed', target.engine);
const root = target.workspace ?? '';

/** Storms of so many jobs each; more with STORM_RUNS and STORM_JOBS. */
const numRuns = Number(process.env.STORM_RUNS ?? 1);
const jobsPerRun = Number(process.env.STORM_JOBS ?? 30);

const fate = fc.constantFrom('retries', 'fails', 'throws', 'exits' as const);
const job = fc.record({
  /** For each item what becomes of its first runs: for most of them nothing. */
  fates: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(fate, { minLength: 1, maxLength: 2 })), {
    minLength: 1,
    maxLength: 3,
  }),
  maxRetries: fc.nat(2),
  /** Milliseconds after its creation. */
  cancelAfter: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(3_000) }),
  /** Once it has ended otherwise than well. */
  isRetried: fc.boolean(),
});
type JobPlan = typeof job extends fc.Arbitrary<infer T> ? T : never;
const crash = fc.record({
  at: fc.integer({ min: 1, max: 10 * jobsPerRun }),
  when: fc.constantFrom<Crash['when'][]>('before', 'after'),
});

interface Output {
  readonly published: string;
}

/** Every fourth event of an ended execution is lost, as many come twice, and changes are delivered again. */
const UNRELIABLE = `
  CREATE TRIGGER lose AFTER INSERT ON deliveries WHEN NEW.queue = 'executions' AND abs(random()) % 4 = 0
  BEGIN DELETE FROM deliveries WHERE queue = NEW.queue AND id = NEW.id; END;
  CREATE TRIGGER repeat AFTER DELETE ON deliveries WHEN OLD.queue = 'executions' AND abs(random()) % 4 = 0
  BEGIN INSERT OR IGNORE INTO deliveries (queue, id, body, due_at) VALUES (OLD.queue, OLD.id, OLD.body, OLD.due_at); END;
  CREATE TRIGGER rewind AFTER UPDATE ON change_cursors WHEN NEW.seq > 9 AND abs(random()) % 4 = 0
  BEGIN UPDATE change_cursors SET seq = NEW.seq - abs(random()) % 9 WHERE changes = NEW.changes AND consumer = NEW.consumer; END;
`;

/** What its user does with a job. */
async function play(client: Millrace, { fates, maxRetries, cancelAfter, isRetried }: JobPlan): Promise<string> {
  const input = { items: fates.length, fates };
  const options = { maxRetries, idempotencyKey: crypto.randomUUID() };
  const { id } = await patiently(() => client.jobs.create('drill', input, options));
  if (cancelAfter !== null) {
    await sleep(cancelAfter);
    await unless('JobNotCancellableError', () => client.jobs.cancel(id));
  }
  if (isRetried) {
    const ended = await patiently(() => client.jobs.wait(id));
    if (ended.state !== 'completed') await unless('JobNotRetryableError', () => client.jobs.retry(id));
  }
  return id;
}

function checkOutcome({ fates, maxRetries, cancelAfter }: JobPlan, ended: Job): void {
  if (cancelAfter === null) expect(ended.state).not.toBe('cancelled');
  if (ended.state === 'cancelled') return;
  expect(ended.retry_count).toBeLessThanOrEqual(maxRetries);
  const told = fates.flat();
  if (ended.state === 'completed') {
    expect(ended.progress.detail).toEqual({ items: fates.length });
  } else {
    const code = ended.error?.code ?? '';
    const fated = { ServiceBusyError: 'retries', InputDataError: 'fails', InternalError: 'throws' }[code];
    expect(told, JSON.stringify(ended.error)).toContain(fated);
    if (isRetryable(code)) expect(ended.retry_count).toBe(maxRetries);
  }
}

describe.skipIf(lack)(`a storm of jobs, failures, crashes and lost events${lack ? ` (${lack})` : ''}`, () => {
  it('U11 leaves every job ended right, with exact counters and no slot taken', {
    timeout: 120_000 + numRuns * (120_000 + 3_000 * jobsPerRun),
  }, async ({ task }) => {
    const folder = await tempFolder();
    const fresh = await newDataFolder(join(folder, 'fresh'), root);
    const database = openDatabase(join(fresh, 'millrace.db'));
    database.exec(UNRELIABLE);
    database.close();
    const plans = fc.array(job, { minLength: jobsPerRun, maxLength: jobsPerRun, size: 'max' });
    let [runs, crashes, seconds] = [0, 0, 0];
    const ends: Record<string, number> = {};
    await fc.assert(
      fc.asyncProperty(plans, fc.array(crash, { minLength: 1, maxLength: 3 }), async (jobs, planned) => {
        runs += 1;
        const started = performance.now();
        const data = join(folder, `storm-${runs}`);
        await cp(fresh, data, { recursive: true });
        const server = await startCrashingServer({ root, data, args: ['--running-jobs', '20'] }, planned);
        /** What tasks have recorded of their effects outside. */
        const published = new Map<string, string>();
        try {
          const client = new Millrace({ url: server.url, apiKey: server.apiKey, state: memoryStateStore() });
          const ids = await Promise.all(jobs.map((plan) => play(client, plan)));
          await until('nothing is under way', async () => isQuiet(data) || undefined, 60 + 2 * jobsPerRun);
          for (const [index, id] of ids.entries()) {
            const ended = await patiently(() => client.jobs.get(id));
            const { items } = await patiently(() => client.jobs.tasks(id));
            for (const { id: task, step_type, output } of items) {
              if (step_type === 'work' && output) published.set(`${id}_${task}_publish`, (output as Output).published);
            }
            checkOutcome(jobs[index] as JobPlan, ended);
            ends[ended.state] = (ends[ended.state] ?? 0) + 1;
          }
          expect(new Set(ids).size).toBe(jobs.length);
          crashes += server.crashes;
        } finally {
          await server.stop();
        }
        await checkDataFolder(data);
        const effects = await readEffects(data);
        for (const [effect, { made }] of effects) expect(published.get(effect) ?? made, effect).toBe(made);
        for (const effect of published.keys()) expect(effects.has(effect), effect).toBe(true);
        const calls = [...effects.values()].reduce((sum, effect) => sum + effect.calls, 0);
        // Only a crash between an effect and its record has it asked for again: in each thread at most one.
        expect(calls - effects.size).toBeLessThanOrEqual(server.crashes * Math.max(2, availableParallelism()));
        await rm(data, { recursive: true });
        seconds += (performance.now() - started) / 1_000;
      }),
      // To find a smaller storm would take hours.
      { numRuns, seed: faultsSeed, endOnFailure: true },
    );
    task.meta.figures = { jobs: runs * jobsPerRun, crashes, seconds, ...ends };
  });
});
