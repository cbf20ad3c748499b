import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { executionName, jobKey } from '../../lambdas/jobs/records.ts';
import { settleExecution } from '../../lambdas/jobs/settle.ts';
import { runNumber } from '../../lambdas/jobs/upgrade-row.ts';
import { type JobsWorld, openJobsWorld, tenant } from '../support/jobs-world.ts';

let world: JobsWorld;
beforeEach(() => {
  world = openJobsWorld();
});
afterEach(() => world.close());

const get = async (jobId: JobId) => (await world.call('getJob', { params: { job_id: jobId } })).body;
const cancel = (jobId: JobId) => world.call('cancelJob', { params: { job_id: jobId } });
const retry = (jobId: JobId) => world.call('retryJob', { params: { job_id: jobId } });
const fail = (code: 'InputDataError' | 'TaskTimeoutError' | 'ServiceBusyError', message: string) => async () => {
  throw new DomainError(code, message);
};

/** Runs steps one after the other, as the state machine of `line` does, and ends the execution. */
async function runLine(jobId: JobId, steps: number, failing?: number): Promise<number[]> {
  const ran: number[] = [];
  for (let step = 1; step <= steps; step += 1) {
    const run = world.run(jobId, `step${step}`, async () => {
      ran.push(step);
      if (step === failing) throw new DomainError('InputDataError', `step ${step} is broken`);
      return step;
    });
    if ((await run.catch(() => 'failed')) === 'failed') {
      await world.end(jobId, 'failed', { error: { name: 'InputDataError', cause: 'of the platform' } });
      return ran;
    }
  }
  await world.end(jobId, 'succeeded');
  return ran;
}

describe('settleExecution', () => {
  test('M2 completes a job whose tasks are done, with its times and exact counts', async () => {
    const jobId = await world.started({ steps: 2 });
    world.clock.advance(1_000);
    await world.run(jobId, 'step1', async (ctx) => {
      ctx.count({ rows: 3 });
      return null;
    });
    await world.run(jobId, 'step2', async (ctx) => {
      ctx.count({ rows: 4 });
      return null;
    });
    await world.end(jobId, 'succeeded');
    expect(await get(jobId)).toMatchObject({
      state: 'completed',
      started_at: '2026-01-01T00:00:00.000Z',
      completed_at: '2026-01-01T00:00:01.000Z',
      progress: { percent: 100, phase: 'completed', completed_tasks: 2, total_tasks: 2, detail: { rows: 7 } },
    });
    expect(await world.slots()).toBe(0);
  });

  test('M8 counts jobs that completed, failed or were cancelled, by workflow', async () => {
    const [completed, failed, cancelled] = [
      await world.started({ steps: 1 }),
      await world.started(),
      await world.create(),
    ];
    await runLine(completed, 1);
    await runLine(failed, 1, 1);
    await cancel(cancelled);
    const counted = (world.logged as { metrics?: unknown; workflow?: string }[]).filter(({ metrics }) => metrics);
    expect(counted.map(({ workflow, metrics }) => [workflow, metrics])).toEqual(
      ['JobsCompleted', 'JobsFailed', 'JobsCancelled'].map((name) => [
        'line',
        { values: { [name]: 1 }, by: 'workflow' },
      ]),
    );
  });

  test('takes the error of the first task that failed, not what the event says', async () => {
    const jobId = await world.started({ steps: 3 });
    await world.run(jobId, 'step3', fail('InputDataError', 'third')).catch(() => {});
    await world.run(jobId, 'step2', fail('InputDataError', 'second')).catch(() => {});
    await world.end(jobId, 'failed', { error: { name: 'InternalError', cause: 'other' } });
    expect(await get(jobId)).toMatchObject({
      state: 'failed',
      error: { code: 'InputDataError', message: 'second', task: 'step2' },
      failed_at: world.clock.now().toISOString(),
    });
  });

  test("takes the execution's own error when no task recorded one", async () => {
    const timedOut = await world.started();
    await world.end(timedOut, 'timed_out', { error: { name: 'States.Timeout', cause: 'the job took too long' } });
    expect((await get(timedOut)).error).toEqual({ code: 'States.Timeout', message: 'the job took too long' });
    const crashed = await world.started();
    const cause = JSON.stringify({ errorType: 'Runtime.ExitError', errorMessage: 'exit status 137' });
    await world.end(crashed, 'failed', { error: { name: 'Runtime.ExitError', cause } });
    expect((await get(crashed)).error).toEqual({ code: 'Runtime.ExitError', message: 'exit status 137' });
  });

  test.each([
    ['too long', `${'x'.repeat(1_999)}😀`],
    ['not well-formed', '\ud800'],
  ])('fails a job whose execution ended with a text that is %s', async (_, cause) => {
    const jobId = await world.started();
    await world.end(jobId, 'failed', { error: { name: 'Runtime.ExitError', cause } });
    const { state, error } = await get(jobId);
    expect(state).toBe('failed');
    expect(error?.message).toBe(cause.slice(0, 2_000).toWellFormed());
  });

  test('begins the next attempt no earlier than the failure can heal', async () => {
    const busy = (retry_after_seconds: number) => async () => {
      throw new DomainError('MarketplaceBusyError', 'later', { retry_after_seconds });
    };
    const jobId = await world.started({ steps: 1 }, { max_retries: 3 });
    await world.run(jobId, 'step1', busy(600)).catch(() => {});
    await world.end(jobId, 'failed');
    const dueIn = async () => Date.parse((await world.job(jobId)).due_at ?? '') - world.clock.now().getTime();
    expect([(await world.job(jobId)).state, await dueIn()]).toEqual(['queued', 600_000]);
    world.clock.advance(600_000);
    await world.reconcile();
    await world.run(jobId, 'step1', busy(1e9)).catch(() => {});
    await world.end(jobId, 'failed');
    expect(await dueIn()).toBe(86_400_000);
    expect((await get(jobId)).error).toEqual({ code: 'MarketplaceBusyError', message: 'later', task: 'step1' });
  });

  test('does not complete a job of which a task failed', async () => {
    const jobId = await world.started();
    await world.run(jobId, 'step1', fail('InputDataError', 'bad')).catch(() => {});
    await world.end(jobId, 'succeeded');
    expect((await get(jobId)).state).toBe('failed');
  });

  test('takes ended events that come twice, at once, late and of the past for nothing', async () => {
    const jobId = await world.started({ steps: 1 });
    const first = { workflow: 'line', name: executionName(await world.job(jobId)) };
    world.workflows.end(first.name, 'failed', { error: { name: 'E', cause: 'c' } });
    await Promise.all([world.settle(first), world.settle(first), world.settle(first)]);
    expect((await get(jobId)).state).toBe('failed');
    expect(await world.slots()).toBe(0);
    await retry(jobId);
    await world.settle(first);
    expect((await get(jobId)).state).toBe('queued');
    await world.drain();
    await world.settle(first);
    expect((await get(jobId)).state).toBe('running');
    expect(await world.slots()).toBe(1);
    await runLine(jobId, 1);
    await world.settle(first);
    expect((await get(jobId)).state).toBe('completed');
    expect(await world.slots()).toBe(0);
  });

  test('ignores an execution that is of no job, or that still runs', async () => {
    const jobId = await world.started();
    await world.settle({ workflow: 'line', name: 'by-hand' });
    await world.settle({ workflow: 'line', name: `${jobId}-7-1` });
    await world.settle({ workflow: 'line', name: `${jobId}-1-1` });
    expect((await get(jobId)).state).toBe('running');
  });

  test('goes on with the next run when an execution is aborted from outside, and skips what is done', async () => {
    const jobId = await world.started({ steps: 2 });
    await world.run(jobId, 'step1', async () => 1);
    await world.end(jobId, 'aborted');
    expect(await world.job(jobId)).toMatchObject({ state: 'running', attempt: 1, run: 2 });
    expect(world.workflows.executions.get(`${jobId}-1-2`)?.state).toBe('running');
    expect(await world.slots()).toBe(1);
    expect(await runLine(jobId, 2)).toEqual([2]);
    expect((await get(jobId)).state).toBe('completed');
  });

  test('fails a job whose executions are aborted again and again, and none between them ends by itself', async () => {
    const jobId = await world.started();
    for (let run = 0; run < 20; run += 1) await world.end(jobId, 'aborted');
    await world.end(jobId, 'succeeded', { output: { continue: 1 } });
    for (let run = 0; run < 20; run += 1) await world.end(jobId, 'aborted');
    expect((await get(jobId)).state).toBe('running');
    await world.end(jobId, 'aborted');
    expect(await get(jobId)).toMatchObject({ state: 'failed', error: { code: 'InternalError' } });
    expect(await world.slots()).toBe(0);
  });

  test('shows a task that its dead runner left as failed once the lease has lapsed', async () => {
    const jobId = await world.started();
    const never = world.run(jobId, 'step1', () => new Promise(() => {}), { seconds: 1 });
    never.catch(() => {});
    await expect.poll(() => world.states(jobId)).toMatchObject({ step1: 'running' });
    await world.end(jobId, 'failed', { error: { name: 'Runtime.ExitError', cause: 'gone' } });
    expect((await world.states(jobId)).step1).toBe('running');
    world.clock.advance(60_000);
    expect((await world.states(jobId)).step1).toBe('failed');
  });
});

describe('runs', () => {
  const inputOf = (jobId: JobId, run: number) => world.workflows.executions.get(`${jobId}-1-${run}`)?.input;
  const goOn = (jobId: JobId, value: unknown) =>
    world.end(jobId, 'succeeded', { output: { continue: value } as never });

  test('go on where a machine ends that says so, with what it gives on, and users see one run', async () => {
    const jobId = await world.started({ steps: 2 });
    await world.run(jobId, 'step1', async () => 1);
    await goOn(jobId, { at: 1, tiny: 1e-200 });
    expect(inputOf(jobId, 1)).toEqual({ job: { tenant_id: tenant, job_id: jobId, attempt: 1, ...runNumber(1) } });
    expect(inputOf(jobId, 2)).toEqual({
      job: { tenant_id: tenant, job_id: jobId, attempt: 1, ...runNumber(2) },
      continued: { at: 1, tiny: 1e-200 },
    });
    expect(await get(jobId)).toMatchObject({ state: 'running', attempt: 1, retry_count: 0 });
    expect(await world.slots()).toBe(1);
    await world.settle({ workflow: 'line', name: `${jobId}-1-1` });
    expect((await world.job(jobId)).run).toBe(2);
    expect(await runLine(jobId, 2)).toEqual([2]);
    await world.drain();
    const { items } = (
      await world.call('listJobEvents', { params: { job_id: jobId }, query: { wait_seconds: 0, limit: 9 } })
    ).body;
    expect(items.flatMap((event) => ('state' in event.data ? [event.data.state] : []))).toEqual([
      'queued',
      'running',
      'completed',
    ]);
  });

  test('end with a machine whose output holds more than `continue`, as the input of a run that was passed through', async () => {
    const jobId = await world.started({ steps: 1 });
    await world.run(jobId, 'step1');
    await world.end(jobId, 'succeeded', { output: { continue: 1, job: {} } });
    expect((await get(jobId)).state).toBe('completed');
  });

  test('keep what was given on when one is aborted, and forget it in a new attempt', async () => {
    const jobId = await world.started({ steps: 1 });
    await goOn(jobId, 7);
    await world.end(jobId, 'aborted');
    expect(inputOf(jobId, 3)).toMatchObject({ job: { run: 3 }, continued: 7 });
    await world.end(jobId, 'failed', { error: { name: 'X', cause: 'x' } });
    await retry(jobId);
    await world.drain();
    expect(world.workflows.executions.get(`${jobId}-2-1`)?.input).toEqual({
      job: { tenant_id: tenant, job_id: jobId, attempt: 2, ...runNumber(1) },
    });
  });

  test('are started by reconcile with the same input when the settler died before', async () => {
    const jobId = await world.started();
    world.workflows.beforeStart = async () => {
      throw new Error('died');
    };
    await expect(goOn(jobId, { at: 5 })).rejects.toThrow('died');
    world.workflows.beforeStart = async () => {};
    expect(await world.reconcile()).toMatchObject({ started: 1, settled: 0 });
    expect(inputOf(jobId, 2)).toMatchObject({ continued: { at: 5 } });
  });

  test('U8 end with a cancellation between two of them', async () => {
    const jobId = await world.started();
    world.workflows.beforeStart = async () => {
      await cancel(jobId);
    };
    await goOn(jobId, 1);
    expect(world.workflows.running()).toEqual([]);
    await world.reconcile();
    expect((await get(jobId)).state).toBe('cancelled');
    expect(await world.slots()).toBe(0);
  });

  test('fail the job when there are too many, or when they give on too much', async () => {
    const endless = await world.started();
    const { pk, sk } = (await world.job(endless)) as unknown as { pk: string; sk: string };
    await world.table.write({ op: 'update', key: { pk, sk }, set: runNumber(999) });
    await world.workflows.start({ workflow: 'line', name: `${endless}-1-999`, input: { job: { tenant_id: tenant } } });
    await goOn(endless, 1);
    await goOn(endless, 1);
    expect(await get(endless)).toMatchObject({
      state: 'failed',
      error: { message: expect.stringMatching(/after 1000 runs/) },
    });
    const heavy = await world.started();
    await goOn(heavy, 'x'.repeat(32_768));
    expect(await get(heavy)).toMatchObject({
      state: 'failed',
      error: { message: expect.stringMatching(/continues with 32770 bytes/) },
    });
    expect(await world.slots()).toBe(0);
  });
});

describe('automatic retry', () => {
  test('is due within the deployment’s delay, evenly drawn, and each further one within twice as long', async () => {
    world = openJobsWorld({ retryDelaySeconds: 0.5, random: () => 0.5 });
    const jobId = await world.started({ steps: 1 }, { max_retries: 2 });
    for (const delayMs of [250, 500]) {
      await world.run(jobId, 'step1', fail('ServiceBusyError', 'down')).catch(() => {});
      await world.end(jobId, 'failed');
      const { due_at = '' } = await world.job(jobId);
      expect(Date.parse(due_at) - world.clock.now().getTime()).toBe(delayMs);
      world.clock.advance(delayMs);
      await world.reconcile();
    }
  });

  test('is due within an hour, however many there were before', async () => {
    world = openJobsWorld({ retryDelaySeconds: 1_000 });
    const jobId = await world.started({ steps: 1 }, { max_retries: 3 });
    for (const delaySeconds of [1_000, 2_000, 3_600]) {
      await world.run(jobId, 'step1', fail('ServiceBusyError', 'down')).catch(() => {});
      await world.end(jobId, 'failed');
      const { due_at = '' } = await world.job(jobId);
      expect(Date.parse(due_at) - world.clock.now().getTime()).toBe(delaySeconds * 1_000);
      world.clock.advance(delaySeconds * 1_000);
      await world.reconcile();
    }
  });

  test('M8 begins new attempts for a retryable error, with growing pauses, then fails for good', async () => {
    const jobId = await world.started({ steps: 1 }, { max_retries: 3 });
    for (const retries of [1, 2, 3]) {
      await world.run(jobId, 'step1', fail('ServiceBusyError', 'down')).catch(() => {});
      await world.end(jobId, 'failed');
      const error = { code: 'ServiceBusyError', message: 'down', task: 'step1' };
      expect(await get(jobId)).toMatchObject({ state: 'queued', retry_count: retries, attempt: retries + 1, error });
      expect(await world.slots()).toBe(0);
      world.clock.advance(1_000 * 2 ** (retries - 1) - 1);
      await world.drain();
      expect((await get(jobId)).state).toBe('queued');
      world.clock.advance(1);
      await world.reconcile();
      expect((await get(jobId)).state).toBe('running');
      expect((await get(jobId)).error).toBeUndefined();
    }
    await world.run(jobId, 'step1', fail('ServiceBusyError', 'down')).catch(() => {});
    await world.end(jobId, 'failed');
    expect(await get(jobId)).toMatchObject({ state: 'failed', retry_count: 3, attempt: 4 });
  });

  test('is started when it is due by a settler that can wait, if that is soon', async () => {
    const waits: number[] = [];
    const sleep = async (ms: number) => {
      waits.push(ms);
      world.clock.advance(ms);
    };
    const settle = settleExecution(world.deps, { sleep });
    const jobId = await world.started({ steps: 1 }, { max_retries: 4 });
    for (const retries of [1, 2, 3, 4]) {
      await world.run(jobId, 'step1', fail('ServiceBusyError', 'down')).catch(() => {});
      const name = executionName(await world.job(jobId));
      world.workflows.end(name, 'failed');
      await settle({ workflow: 'line', name });
      expect(await get(jobId)).toMatchObject({ state: retries < 4 ? 'running' : 'queued', retry_count: retries });
    }
    expect(waits).toEqual([1_001, 2_001, 4_001]);
  });

  test('does not begin for an error that does not heal', async () => {
    const jobId = await world.started({ steps: 1 }, { max_retries: 3 });
    await runLine(jobId, 1, 1);
    expect(await get(jobId)).toMatchObject({ state: 'failed', retry_count: 0, attempt: 1 });
  });

  test('is cancelled like any queued job, and gives way to a job that is due', async () => {
    const jobId = await world.started({ steps: 1 }, { max_retries: 3 });
    await world.run(jobId, 'step1', fail('TaskTimeoutError', 'slow')).catch(() => {});
    await world.end(jobId, 'failed');
    const other = await world.started();
    expect((await get(other)).state).toBe('running');
    expect((await cancel(jobId)).body.state).toBe('cancelled');
    world.clock.advance(10_000);
    await world.reconcile();
    expect((await get(jobId)).state).toBe('cancelled');
  });
});

describe('retryJob', () => {
  test.each([
    { id: 'M5', steps: 5, failing: 4 },
    { id: 'M7', steps: 10, failing: 8 },
  ])('$id retries from the failed task: of $steps the $failing. failed', async ({ steps, failing }) => {
    const jobId = await world.started({ steps });
    await runLine(jobId, steps, failing);
    const before = await world.states(jobId);
    const expected = Array.from({ length: steps }, (_, index) => {
      return index + 1 < failing ? 'completed' : index + 1 === failing ? 'failed' : 'pending';
    });
    expect(Object.values(before)).toEqual(expected);

    const reply = await retry(jobId);
    expect(reply).toMatchObject({ status: 202, body: { state: 'queued', attempt: 2 } });
    expect(reply.body).not.toHaveProperty('error', expect.anything());
    expect(reply.body.failed_at).toBeUndefined();
    await world.drain();
    expect(await runLine(jobId, steps)).toEqual(
      Array.from({ length: steps - failing + 1 }, (_, index) => failing + index),
    );
    expect((await get(jobId)).state).toBe('completed');
  });

  test('refuses a job that has not failed and was not cancelled', async () => {
    const jobId = await world.started({ steps: 1 });
    await expect(retry(jobId)).rejects.toMatchObject({ code: 'JobNotRetryableError', details: { state: 'running' } });
    await runLine(jobId, 1);
    await expect(retry(jobId)).rejects.toMatchObject({ code: 'JobNotRetryableError' });
  });

  test('makes one new attempt of two retries at once', async () => {
    const jobId = await world.started();
    await runLine(jobId, 1, 1);
    const replies = await Promise.allSettled([retry(jobId), retry(jobId)]);
    expect(replies.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect((await get(jobId)).attempt).toBe(2);
  });

  test('M6 runs nothing twice when the stored job was made failed after its success', async () => {
    const jobId = await world.started({ steps: 2 });
    await runLine(jobId, 2);
    const { pk, sk } = (await world.job(jobId)) as unknown as { pk: string; sk: string };
    await world.table.write({ op: 'update', key: { pk, sk }, set: { state: 'failed' }, remove: ['completed_at'] });
    await retry(jobId);
    await world.drain();
    expect(await runLine(jobId, 2)).toEqual([]);
    expect((await get(jobId)).state).toBe('completed');
  });

  test('plans what is missing: the job was cancelled before it had tasks, or its workflow plans more by now', async () => {
    const jobId = await world.create({ steps: 1 });
    const [task] = (await world.table.query({ pk: jobKey(tenant, jobId).pk, prefix: 'TASK#', limit: 1 })).items;
    await world.table.write({ op: 'delete', key: { pk: String(task?.pk), sk: String(task?.sk) } });
    await cancel(jobId);
    await retry(jobId);
    await world.drain();
    expect(await runLine(jobId, 1)).toEqual([1]);
    expect((await get(jobId)).state).toBe('completed');
  });

  test('is not failed by what an attempt before left failed', async () => {
    const jobId = await world.started({ steps: 2 });
    await runLine(jobId, 2, 2);
    await retry(jobId);
    await world.drain();
    await world.run(jobId, 'step1');
    await world.end(jobId, 'succeeded');
    expect((await get(jobId)).state).toBe('completed');
  });
});

describe('cancelJob', () => {
  test('ends a queued job at once and takes it out of the queue', async () => {
    const jobId = await world.create();
    expect(await cancel(jobId)).toMatchObject({ status: 200, body: { state: 'cancelled' } });
    await world.drain();
    expect(world.workflows.executions.size).toBe(0);
  });

  test('U8 stops a running job, and tells cancelled when its last runner has gone', async () => {
    const jobId = await world.started({ steps: 2 });
    let letGo = () => {};
    const run = world.run(jobId, 'step1', async (ctx) => {
      await new Promise<void>((resolve) => {
        letGo = resolve;
      });
      world.clock.advance(1_000);
      await ctx.heartbeat();
      return null;
    });
    await expect.poll(() => world.states(jobId)).toMatchObject({ step1: 'running' });

    expect(await cancel(jobId)).toMatchObject({ status: 202, body: { state: 'cancelling' } });
    expect(world.workflows.stopped).toEqual([`${jobId}-1-1`]);
    await world.settle({ workflow: 'line', name: `${jobId}-1-1` });
    await world.drain();
    await world.reconcile();
    expect((await get(jobId)).state).toBe('cancelling');
    expect(await world.slots()).toBe(1);

    letGo();
    await expect(run).rejects.toMatchObject({ name: 'JobCancelledError' });
    await world.drain();
    expect(await get(jobId)).toMatchObject({ state: 'cancelled', cancelled_at: expect.any(String) });
    expect(await world.states(jobId)).toEqual({ step1: 'cancelled', step2: 'pending' });
    expect(await world.slots()).toBe(0);
  });

  test('is told by the ended event when nothing runs', async () => {
    const jobId = await world.started();
    await cancel(jobId);
    expect((await get(jobId)).state).toBe('cancelling');
    await world.settle({ workflow: 'line', name: `${jobId}-1-1` });
    expect((await get(jobId)).state).toBe('cancelled');
  });

  test('holds for an execution that succeeded in the meantime', async () => {
    const jobId = await world.started();
    world.workflows.end(`${jobId}-1-1`, 'succeeded');
    await cancel(jobId);
    await world.settle({ workflow: 'line', name: `${jobId}-1-1` });
    expect((await get(jobId)).state).toBe('cancelled');
  });

  test('answers again while it goes on, and refuses when the job has ended', async () => {
    const jobId = await world.started();
    await cancel(jobId);
    expect(await cancel(jobId)).toMatchObject({ status: 202, body: { state: 'cancelling' } });
    await world.reconcile();
    await expect(cancel(jobId)).rejects.toMatchObject({
      code: 'JobNotCancellableError',
      details: { state: 'cancelled' },
    });
  });

  test('can be followed by a retry that skips what was done', async () => {
    const jobId = await world.started({ steps: 2 });
    await world.run(jobId, 'step1', async () => 1);
    await cancel(jobId);
    await world.reconcile();
    await retry(jobId);
    await world.drain();
    expect(await runLine(jobId, 2)).toEqual([2]);
    expect((await get(jobId)).state).toBe('completed');
  });
});
