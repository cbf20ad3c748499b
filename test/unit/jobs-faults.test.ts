import { describe, expect, test } from 'vitest';
import type { JobId, TenantId } from '../../contract/common.ts';
import { DomainError, type ErrorCode } from '../../contract/errors.ts';
import { executionName } from '../../lambdas/jobs/records.ts';
import { atEveryCall, FAULT_CASES, type FaultCase } from '../support/faulty-ports.ts';
import { type JobsWorld, openJobsWorld, tenant } from '../support/jobs-world.ts';

const STEPS = 2;
const LIMIT = 2;
/** Longer than a lease, and than any job is being created. */
const LONG_MS = 61_000;
const headers = { 'idempotency-key': 'k' };
/** More than one transaction adds. */
const MANY_STEPS = 99;
const body = { workflow: 'line', input: { steps: STEPS }, max_retries: 1 };

/** In worlds of jobs, where each step counts its runs that came to their end. */
function atEveryJobsCall<T>(
  fault: FaultCase,
  prepare: (world: JobsWorld) => Promise<T>,
  operation: (world: JobsWorld, prepared: T) => Promise<unknown>,
  healed: (world: JobsWorld, prepared: T) => Promise<void>,
): Promise<void> {
  return atEveryCall(
    fault,
    () => openJobsWorld({ runningLimit: LIMIT }),
    prepare,
    operation,
    async (world, prepared) => {
      await healed(world, prepared);
      await settleDown(world);
      world.checkAtRest();
      expect(world.workflows.running()).toEqual([]);
    },
  );
}

async function refusedOnly(action: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
  await action.catch((error: unknown) => {
    if (!(error instanceof DomainError) || !codes.includes(error.code)) throw error;
  });
}

const create = (world: JobsWorld, steps = STEPS) =>
  world.call('createJob', { headers, body: { ...body, input: { steps } } });
const cancel = (world: JobsWorld, job_id: JobId) => world.call('cancelJob', { params: { job_id } });
const retry = (world: JobsWorld, job_id: JobId) => world.call('retryJob', { params: { job_id } });
const started = (world: JobsWorld) => world.started(body.input, { max_retries: body.max_retries });

async function jobs(world: JobsWorld): Promise<JobId[]> {
  return (await world.call('listJobs', { query: { limit: 10 } })).body.items.map(({ id }) => id);
}

/** What the state machine would do: the steps of the execution that runs, then its end. */
async function runAll(world: JobsWorld, fails?: ErrorCode): Promise<void> {
  for (const { name, input } of world.workflows.running()) {
    const { tenant_id: tenantId, job_id, attempt, run } = (input as unknown as ExecutionInput).job;
    const { planned_tasks: steps } = await world.job(job_id, tenantId);
    let state: 'succeeded' | 'failed' = 'succeeded';
    for (let step = 1; step <= steps && state === 'succeeded'; step += 1) {
      const work = async () => {
        if (fails) throw new DomainError(fails, 'by the test');
        return step;
      };
      const running = world.run(job_id, `step${step}`, work, { tenantId, attempt, run });
      await refusedOnly(
        running.catch((error) => {
          state = 'failed';
          throw error;
        }),
        'JobCancelledError',
        'InputDataError',
        'ServiceBusyError',
      );
    }
    world.workflows.end(name, state);
    await world.settle({ workflow: 'line', name });
  }
}

/** Nothing fails any more, and nobody asks for anything more. */
async function settleDown(world: JobsWorld): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    world.clock.advance(LONG_MS);
    await world.drain();
    await world.reconcile();
    await runAll(world);
  }
  await world.drain();
}

const stateAfterAll = async (world: JobsWorld, jobId: JobId) => {
  await settleDown(world);
  const { state, attempt, retry_count } = await world.job(jobId);
  return { state, attempt, retry_count };
};

interface ExecutionInput {
  readonly job: { tenant_id: TenantId; job_id: JobId; attempt: number; run: number };
}

describe.each(FAULT_CASES)('a fault at any call ($kind, $when it is carried out)', (fault) => {
  const sizes = test.each([STEPS, MANY_STEPS]);

  sizes('of create, %i steps: the same request again has one job, which is queued at once and completes', (steps) =>
    atEveryJobsCall(
      fault,
      async () => {},
      (world) => create(world, steps),
      async (world) => {
        const { id, state } = (await create(world, steps)).body;
        expect(state).toBe('queued');
        expect(await jobs(world)).toEqual([id]);
        expect(await stateAfterAll(world, id)).toEqual({ state: 'completed', attempt: 1, retry_count: 0 });
      },
    ),
  );

  sizes('of create, %i steps: without another request there is no job, or one that completes', (steps) =>
    atEveryJobsCall(
      fault,
      async () => {},
      (world) => create(world, steps),
      async (world) => {
        await settleDown(world);
        for (const id of await jobs(world)) expect((await world.job(id)).state).toBe('completed');
      },
    ),
  );

  test('of the feed that dispatches: each job is started once, in order and within the limit', () =>
    atEveryJobsCall(
      fault,
      async (world) => {
        for (let job = 0; job <= LIMIT; job += 1) await world.create(body.input);
      },
      (world) => world.drain(),
      async (world) => {
        await world.drain();
        await world.reconcile();
        expect(await world.slots()).toBe(LIMIT);
        const oldest = (await jobs(world)).slice(-LIMIT);
        const names = world.workflows.running().map(({ name }) => name);
        expect(names.sort()).toEqual(oldest.map((id) => `${id}-1-1`).sort());
        await settleDown(world);
        for (const id of await jobs(world)) expect((await world.job(id)).attempt).toBe(1);
      },
    ));

  test('of a task: its result is recorded once, and another runner makes up for one that was not', () =>
    atEveryJobsCall(
      fault,
      started,
      (world, jobId) => world.run(jobId, 'step1', async () => 'first'),
      async (world, jobId) => {
        const recorded = (await world.states(jobId)).step1 === 'completed';
        world.clock.advance(LONG_MS);
        const output = await world.run(jobId, 'step1', async () => 'second');
        expect(output).toBe(recorded ? 'first' : 'second');
        expect((await stateAfterAll(world, jobId)).state).toBe('completed');
      },
    ));

  test.each([
    { end: 'completed', fails: undefined, expected: { state: 'completed', attempt: 1, retry_count: 0 } },
    { end: 'failed for good', fails: 'InputDataError', expected: { state: 'failed', attempt: 1, retry_count: 0 } },
    {
      end: 'failed and is tried again',
      fails: 'ServiceBusyError',
      expected: { state: 'completed', attempt: 2, retry_count: 1 },
    },
  ] as const)('of settle, when the job $end: reconcile ends it the same way', ({ fails, expected }) =>
    atEveryJobsCall(
      fault,
      async (world) => {
        const jobId = await started(world);
        const { settle } = world;
        const [name = ''] = world.workflows.running().map((execution) => execution.name);
        for (let step = 1; step <= (fails ? 1 : STEPS); step += 1) {
          const work = async () => {
            if (fails) throw new DomainError(fails, 'by the test');
            return step;
          };
          await refusedOnly(world.run(jobId, `step${step}`, work), 'InputDataError', 'ServiceBusyError');
        }
        world.workflows.end(name, fails ? 'failed' : 'succeeded');
        return { jobId, settle: () => settle({ workflow: 'line', name }) };
      },
      (_, { settle }) => settle(),
      async (world, { jobId }) => expect(await stateAfterAll(world, jobId)).toEqual(expected),
    ),
  );

  test('of settle, when the execution was aborted: the job goes on in one more run', () =>
    atEveryJobsCall(
      fault,
      async (world) => {
        const jobId = await started(world);
        await world.run(jobId, 'step1', async () => 1);
        const name = executionName(await world.job(jobId));
        world.workflows.end(name, 'aborted');
        return { jobId, name };
      },
      (world, { name }) => world.settle({ workflow: 'line', name }),
      async (world, { jobId }) => {
        expect(await stateAfterAll(world, jobId)).toEqual({ state: 'completed', attempt: 1, retry_count: 0 });
        expect((await world.job(jobId)).run).toBe(2);
      },
    ));

  test('of cancelling a job that runs: the same call again ends in a cancelled job', () =>
    atEveryJobsCall(fault, started, cancel, async (world, jobId) => {
      await refusedOnly(cancel(world, jobId), 'JobNotCancellableError');
      expect((await stateAfterAll(world, jobId)).state).toBe('cancelled');
    }));

  test('of cancelling a job that waits: the same call again ends in a cancelled job', () =>
    atEveryJobsCall(
      fault,
      (world) => world.create(body.input),
      cancel,
      async (world, jobId) => {
        await refusedOnly(cancel(world, jobId), 'JobNotCancellableError');
        expect((await stateAfterAll(world, jobId)).state).toBe('cancelled');
      },
    ));

  test('of a retry by hand: the same call again has one more attempt, and no more', () =>
    atEveryJobsCall(
      fault,
      async (world) => {
        const jobId = await started(world);
        await runAll(world, 'InputDataError');
        expect((await world.job(jobId)).state).toBe('failed');
        return jobId;
      },
      retry,
      async (world, jobId) => {
        await refusedOnly(retry(world, jobId), 'JobNotRetryableError');
        expect(await stateAfterAll(world, jobId)).toEqual({ state: 'completed', attempt: 2, retry_count: 0 });
      },
    ));

  test('of reconcile: the next one does what it was to do', () =>
    atEveryJobsCall(
      fault,
      async (world) => {
        const failing = (method: string, from = 1) => {
          let calls = 0;
          const before = (_: number, name: string) => {
            if (name === method) calls += 1;
            if (calls >= from) throw new Error(`${method} fails`);
          };
          return { calls: 0, before, after: () => {} };
        };
        // One whose stop was lost, one whose start was lost, one whose creator died.
        const cancelled = await started(world);
        await world.withFaults(failing('stop'), () => cancel(world, cancelled));
        const unstarted = await world.create(body.input);
        await world.withFaults(failing('start'), () => world.drain());
        await world.withFaults(failing('transact', 2), () => create(world, MANY_STEPS));
        const states = (await jobs(world)).map(async (id) => (await world.job(id)).state);
        expect(await Promise.all(states)).toEqual(['creating', 'running', 'cancelling']);
        const [created] = await jobs(world);
        world.clock.advance(LONG_MS);
        return { unstarted, cancelled, created: created as JobId };
      },
      (world) => world.reconcile(),
      async (world, { unstarted, cancelled, created }) => {
        await world.reconcile();
        expect(['queued', 'running']).toContain((await world.job(created)).state);
        // Its many steps are of no matter here.
        await cancel(world, created);
        expect(await stateAfterAll(world, unstarted)).toMatchObject({ state: 'completed', attempt: 1 });
        expect((await world.job(cancelled)).state).toBe('cancelled');
        expect(await world.slots(tenant)).toBe(0);
      },
    ));
});
