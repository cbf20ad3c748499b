import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JOB_STATES } from '../../contract/choices.ts';
import type { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { JobState } from '../../contract/jobs.ts';
import { ACTIVE_SHARDS, activePk, executionName, queuePk, slotsKey } from '../../lambdas/jobs/records.ts';
import { hasEnded, nextState, TRANSITION_NAMES } from '../../lambdas/jobs/transitions.ts';
import {
  type JobsWorld,
  mortalTable,
  openJobsWorld,
  otherTenant,
  tenant,
  unsteadyTable,
} from '../support/jobs-world.ts';
import { makeOld } from '../support/old-rows.ts';
import { randomFrom } from '../support/random.ts';

const STEPS = 3;
const LIMIT = 2;
const legal = new Set(
  JOB_STATES.flatMap((from) => TRANSITION_NAMES.map((transition) => `${from} ${nextState(from, transition)}`)),
);

const which = fc.nat(50);
/** Of an execution: as its tasks ended, by a run that goes on, or by an abort from outside. */
const endings = fc.constantFrom('tasks' as const, 'continue' as const, 'abort' as const);
const single = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant('create' as const), other: fc.boolean() }) },
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constant('run' as const),
      which,
      fails: fc.boolean(),
      retryable: fc.boolean(),
      // After so many writes its process dies, or not: a run has five.
      dies: fc.nat(15),
    }),
  },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('end' as const), which, as: endings }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('tell_again' as const), which }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('cancel' as const), which }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('retry' as const), which }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constant('feed' as const), batch: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('feed_again' as const), from: fc.nat(200) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('reconcile' as const) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('wait' as const), ms: fc.constantFrom(1, 1_000, 61_000) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('start_fails' as const) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('make_old' as const), which }) },
);
const act = fc.oneof(
  { weight: 5, arbitrary: single },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constant('at_once' as const),
      acts: fc.array(single, { minLength: 2, maxLength: 4 }),
    }),
  },
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

interface Known {
  readonly tenantId: TenantId;
  readonly jobId: JobId;
}

/** What may fail: the test's faults, and refusals that the API promises. */
const EXPECTED = new Set([
  'ServiceBusyError',
  'JobNotCancellableError',
  'JobNotRetryableError',
  'JobCancelledError',
  'TaskBusyError',
  'LeaseLostError',
  'InputDataError',
]);

async function tolerate(action: Promise<unknown>): Promise<void> {
  await action.catch((error: unknown) => {
    if (!(error instanceof DomainError) || !EXPECTED.has(error.code)) throw error;
  });
}

/**
 * What is outside: it keeps effects by the key that came with them. Every second one heeds keys, the others do again
 * whatever they are told to do, but can be asked.
 */
class Outside {
  readonly effects = new Map<string, number>();

  do(key: string, heedsKeys: boolean): string {
    const times = this.effects.get(key) ?? 0;
    if (!heedsKeys || times === 0) this.effects.set(key, times + 1);
    return `effect of ${key}`;
  }

  find(key: string): string | undefined {
    return this.effects.has(key) ? `effect of ${key}` : undefined;
  }
}

class Play {
  readonly known: Known[] = [];
  readonly outside = new Outside();
  /** Runs of a task that go on, and tasks that had two at a time because a lease lapsed. */
  readonly #going = new Map<string, number>();
  readonly overlapped = new Set<string>();
  /** The last checkpoint of each task that its run was told is kept. */
  readonly #kept = new Map<string, number>();
  /** How often each task came to its end in a run that was told so. */
  readonly done = new Map<string, number>();
  readonly world: JobsWorld;
  readonly #table: ReturnType<typeof unsteadyTable>;
  #startFails = false;

  constructor(seed: number) {
    const random = randomFrom(seed);
    let table: ReturnType<typeof unsteadyTable> | undefined;
    this.world = openJobsWorld({
      runningLimit: LIMIT,
      wrapTable: (kept) => {
        table = unsteadyTable(kept, random, 0.05);
        return table;
      },
    });
    this.#table = table as ReturnType<typeof unsteadyTable>;
    this.world.workflows.beforeStart = async () => {
      if (!this.#startFails) return;
      this.#startFails = false;
      throw new DomainError('ServiceBusyError', 'not started by the test');
    };
  }

  async act(step: Act): Promise<void> {
    const { world } = this;
    const pick = (index: number) => this.known[index % Math.max(1, this.known.length)];
    switch (step.act) {
      case 'at_once':
        await Promise.all(step.acts.map((each) => this.act(each)));
        return;
      case 'create':
        return tolerate(this.#create(step.other ? otherTenant : tenant));
      case 'run':
        return this.#runStep(step.which, {
          dies: step.dies,
          ...(step.fails ? { fails: step.retryable ? 'ServiceBusyError' : 'InputDataError' } : {}),
        });
      case 'end':
        return this.#end(step.which, step.as);
      case 'tell_again': {
        const execution = [...world.workflows.executions.values()][step.which % (world.workflows.executions.size || 1)];
        return execution && tolerate(world.settle(execution));
      }
      case 'cancel':
      case 'retry': {
        const job = pick(step.which);
        const call = step.act === 'cancel' ? 'cancelJob' : 'retryJob';
        return job && tolerate(world.call(call, { params: { job_id: job.jobId } }, job.tenantId));
      }
      case 'feed':
        return tolerate(world.drain(step.batch));
      case 'feed_again':
        return tolerate(world.consume(world.oldChanges(step.from, 30)));
      case 'reconcile':
        return tolerate(world.reconcile());
      case 'wait':
        return world.clock.advance(step.ms);
      case 'start_fails':
        this.#startFails = true;
        return;
      case 'make_old': {
        const job = pick(step.which);
        return job && makeOld(world.table, job.tenantId, job.jobId);
      }
    }
  }

  async #create(tenantId: TenantId): Promise<void> {
    const body = { workflow: 'line', input: { steps: STEPS }, max_retries: 1 };
    await this.world.call('createJob', { body }, tenantId);
  }

  /** Jobs whose creation was not answered are there, too. */
  async findJobs(): Promise<void> {
    this.known.length = 0;
    for (const tenantId of [tenant, otherTenant]) {
      const page = await this.world.table.query({ pk: `T#${tenantId}#JOBS`, index: 'g1', limit: 500 });
      this.known.push(...page.items.map((item) => ({ tenantId, jobId: item.job_id as JobId })));
    }
  }

  /** The next task of a running execution, as its state machine would run it. */
  async #runStep(
    index: number,
    { fails, dies = 99 }: { fails?: 'ServiceBusyError' | 'InputDataError'; dies?: number } = {},
  ): Promise<void> {
    const running = this.world.workflows.running();
    const execution = running[index % Math.max(1, running.length)];
    if (!execution) return;
    const { tenant_id, job_id, attempt, run } = (execution.input as unknown as ExecutionInput).job;
    let writes = 0;
    const table = mortalTable(this.world.deps.table, () => {
      writes += 1;
      return writes > dies;
    });
    for (let step = 1; step <= STEPS; step += 1) {
      const task = `${job_id} ${step}`;
      let ended = false;
      const body: Body = async (ctx) => {
        const going = (this.#going.get(task) ?? 0) + 1;
        this.#going.set(task, going);
        if (going > 1) this.overlapped.add(task);
        try {
          await this.#work(ctx, task, step);
          if (fails) throw new DomainError(fails, 'by the test');
          ended = true;
          return step;
        } finally {
          this.#going.set(task, (this.#going.get(task) ?? 0) - 1);
        }
      };
      const running = this.world.run(job_id, `step${step}`, body, { attempt, run, tenantId: tenant_id, table });
      const result = await running.catch((error: unknown) => error);
      if (result instanceof DomainError && EXPECTED.has(result.code)) return;
      expect(result).toBe(step);
      if (!ended) continue;
      this.done.set(task, (this.done.get(task) ?? 0) + 1);
      return;
    }
  }

  /** One effect, and a checkpoint that counts the runs. */
  async #work(ctx: Parameters<Body>[0], task: string, step: number): Promise<void> {
    const heedsKeys = step % 2 === 0;
    const find = async ({ idempotencyKey }: { idempotencyKey: string }) => this.outside.find(idempotencyKey);
    const effect = await ctx.once(
      'effect',
      async ({ idempotencyKey }) => this.outside.do(idempotencyKey, heedsKeys),
      heedsKeys ? {} : { find },
    );
    expect(effect).toBe(`effect of ${effectKey(task)}`);
    const last = Number((await ctx.lastCheckpoint()) ?? 0);
    expect(last, task).toBeGreaterThanOrEqual(this.#kept.get(task) ?? 0);
    await ctx.checkpoint(last + 1);
    this.#kept.set(task, last + 1);
  }

  /** Ends an execution as its state machine would, if nothing else is asked: by what became of its tasks. */
  async #end(index: number, as: 'tasks' | 'continue' | 'abort'): Promise<void> {
    const { workflows, table, settle } = this.world;
    const running = workflows.running();
    const execution = running[index % Math.max(1, running.length)];
    if (!execution) return;
    const { tenant_id, job_id } = (execution.input as unknown as ExecutionInput).job;
    const tasks = await table.query({ pk: `T#${tenant_id}#J#${job_id}`, prefix: 'TASK#', limit: 100 });
    const done = tasks.items.length === STEPS && tasks.items.every(({ state }) => state === 'completed');
    if (as === 'continue') workflows.end(execution.name, 'succeeded', { output: { continue: index } });
    else workflows.end(execution.name, as === 'abort' ? 'aborted' : done ? 'succeeded' : 'failed');
    // Every second event is lost.
    if (index % 2 === 0) await tolerate(settle(execution));
  }

  /** Without faults, everything comes to its end by itself. */
  async settleDown(): Promise<void> {
    this.#table.steady = true;
    this.#startFails = false;
    for (let round = 0; round < 60; round += 1) {
      this.world.clock.advance(61_000);
      await this.world.drain();
      await this.world.reconcile();
      for (let step = 0; step < STEPS * LIMIT * 2; step += 1) await this.#runStep(step);
      for (let count = this.world.workflows.running().length; count > 0; count -= 1) await this.#end(1, 'tasks');
    }
    await this.world.drain();
    await this.findJobs();
  }

  async checkLimits(): Promise<void> {
    for (const tenantId of [tenant, otherTenant]) {
      const slots = await this.world.table.get(slotsKey(tenantId));
      const holders = Object.keys(slots ?? {}).filter((name) => name.startsWith('job_'));
      expect(slots?.running ?? 0).toBe(holders.length);
      expect(holders.length).toBeLessThanOrEqual(LIMIT);
    }
  }
}

type Body = NonNullable<Parameters<JobsWorld['run']>[2]>;

const effectKey = (task: string) => task.replace(' ', ':step').concat(':effect');

interface ExecutionInput {
  readonly job: { tenant_id: TenantId; job_id: JobId; attempt: number; run: number };
}

async function checkEnd({ world, known, done, outside, overlapped }: Play): Promise<void> {
  for (const { tenantId, jobId } of known) {
    const job = await world.job(jobId, tenantId);
    expect(hasEnded(job.state), `${jobId} is ${job.state}`).toBe(true);
    const params = { job_id: jobId };
    const tasks = (await world.call('listTasks', { params, query: { limit: 50 } }, tenantId)).body.items;
    const completed = tasks.filter(({ state }) => state === 'completed').length;
    if (job.state === 'completed') expect(completed).toBe(STEPS);
    if (job.state === 'failed') expect(job.error).toBeDefined();
    expect(tasks.filter(({ state }) => state === 'running')).toEqual([]);
    for (let step = 1; step <= STEPS; step += 1) {
      const task = `${jobId} ${step}`;
      expect(done.get(task) ?? 0).toBeLessThanOrEqual(1);
      const happened = outside.effects.get(effectKey(task)) ?? 0;
      // A runner that was out of touch for a whole lease may do what another has looked for: only keys help there.
      if (step % 2 === 0 || !overlapped.has(task)) expect(happened, task).toBeLessThanOrEqual(1);
      if (tasks[step - 1]?.state === 'completed') expect(happened, task).toBeGreaterThanOrEqual(1);
    }

    const view = (await world.call('getJob', { params }, tenantId)).body;
    expect(view.progress).toMatchObject({ completed_tasks: completed, total_tasks: STEPS });
    const events = (await world.call('listJobEvents', { params, query: { wait_seconds: 0, limit: 500 } }, tenantId))
      .body.items;
    let before: JobState = 'creating';
    for (const event of events) {
      if (!('state' in event.data)) continue;
      expect(legal, `${before} to ${event.data.state}`).toContain(`${before} ${event.data.state}`);
      before = event.data.state;
    }
    expect(before).toBe(job.state);
    expect(world.workflows.executions.get(executionName(job))?.state ?? 'none').not.toBe('running');
  }
  for (const tenantId of [tenant, otherTenant]) {
    expect(await world.slots(tenantId)).toBe(0);
    expect((await world.table.query({ pk: queuePk(tenantId), limit: 10 })).items).toEqual([]);
  }
  for (let shard = 0; shard < ACTIVE_SHARDS; shard += 1)
    expect((await world.table.query({ pk: activePk(shard), index: 'g2', limit: 10 })).items).toEqual([]);
}

const numRuns = Number(process.env.PROPERTY_RUNS ?? 60);

describe('jobs under any sequence of acts, faults, repeats and lost events', () => {
  test('come to a right end, each change is told once, all slots are free, and every effect has happened once', {
    timeout: 20_000 + 200 * numRuns,
  }, async () => {
    const acts = fc.array(act, { minLength: 10, maxLength: 60, size: 'max' });
    const seed = Number(process.env.PROPERTY_SEED ?? 20_260_101);
    await fc.assert(
      fc.asyncProperty(acts, fc.nat(), async (steps, faultSeed) => {
        const play = new Play(faultSeed);
        try {
          for (const step of steps) {
            await play.findJobs();
            await play.act(step);
            await play.checkLimits();
          }
          await play.settleDown();
          await checkEnd(play);
        } finally {
          play.world.close();
        }
      }),
      { numRuns, seed },
    );
  });
});
