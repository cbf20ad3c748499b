import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import { jobKey } from '../../lambdas/jobs/records.ts';
import { atEveryCall, FAULT_CASES } from '../support/faulty-ports.ts';
import { type JobsWorld, openJobsWorld, tenant } from '../support/jobs-world.ts';

type Body = NonNullable<Parameters<JobsWorld['run']>[2]>;

let entries: Record<string, WorkflowEntry>;
let world: JobsWorld;
beforeEach(() => {
  entries = {};
  deploy('pay', 'ship', 'mail');
  world = openJobsWorld({ entries });
});
afterEach(() => world.close());

/** From here on, the workflow has these steps. */
function deploy(...steps: string[]): void {
  const plan = () => steps.map((step) => ({ step }));
  entries.order = { name: 'order', description: '', input: z.strictObject({}), files: [], plan, tasks: {} };
}

const start = (max_retries = 0) => world.started({}, { workflow: 'order', max_retries });

/** Runs the steps one after the other, each in a process that meets the job for the first time; answers which ran. */
async function runSteps(jobId: JobId, steps: readonly string[], body: Body = async () => null): Promise<string[]> {
  const ran: string[] = [];
  for (const step of steps) {
    const noted: Body = (ctx) => {
      ran.push(step);
      return body(ctx);
    };
    await world.run(jobId, step, noted, { table: world.table });
  }
  return ran;
}

/** An effect outside that counts how often it is called, and its `find`. */
function openOutside() {
  const outside = { effects: 0, finds: 0 };
  const post: Body = (ctx) =>
    ctx.once(
      'post',
      async () => {
        outside.effects += 1;
        return 'posted';
      },
      {
        find: async () => {
          outside.finds += 1;
          return undefined;
        },
      },
    );
  return { outside, post };
}

async function failAt(jobId: JobId, step: string, code: 'InputDataError' | 'ServiceBusyError', body: Body) {
  const failing: Body = async (ctx) => {
    await body(ctx);
    throw new DomainError(code, 'after the effect');
  };
  await expect(world.run(jobId, step, failing, { table: world.table })).rejects.toThrow();
  await world.end(jobId, 'failed', { error: { name: code, cause: '{}' } });
  await world.drain();
}

async function retry(jobId: JobId): Promise<void> {
  await world.call('retryJob', { params: { job_id: jobId } });
  await world.drain();
}

async function complete(jobId: JobId) {
  await world.end(jobId);
  await world.drain();
  const { state, progress } = (await world.call('getJob', { params: { job_id: jobId } })).body;
  return { state, ...progress };
}

async function listed(jobId: JobId) {
  const { items } = (await world.call('listTasks', { params: { job_id: jobId }, query: { limit: 50 } })).body;
  return items.map(({ step_order, id, state }) => `${step_order} ${id} ${state}`);
}

describe('a job whose workflow has changed between its failure and its retry', () => {
  test.each([
    {
      change: 'gained a first step',
      steps: ['check', 'pay', 'ship', 'mail'],
      places: ['pay', 'ship', 'mail', 'check'],
    },
    { change: 'moved its steps', steps: ['mail', 'ship', 'pay'], places: ['pay', 'ship', 'mail'] },
    { change: 'renamed a step', steps: ['pay', 'ship', 'write'], places: ['pay', 'ship', 'mail', 'write'] },
  ])('runs no completed step and no effect again: it $change', async ({ steps, places }) => {
    const jobId = await start();
    const { outside, post } = openOutside();
    await runSteps(jobId, ['pay']);
    await failAt(jobId, 'ship', 'InputDataError', post);

    deploy(...steps);
    await retry(jobId);
    const ran = await runSteps(jobId, steps, post);
    expect(ran).toEqual(steps.filter((step) => step !== 'pay'));
    expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: steps.length });
    const state = (step: string) => (steps.includes(step) ? 'completed' : 'pending');
    expect(await listed(jobId)).toEqual(places.map((step, index) => `${index + 1} ${step} ${state(step)}`));
    // One for each step but `pay`, which had none, and so `ship` none in its second run.
    expect(outside).toEqual({ effects: steps.length - 1, finds: 0 });
  });

  test('is complete without a step that is gone, which stays listed as it was', async () => {
    const jobId = await start();
    await runSteps(jobId, ['pay']);
    await failAt(jobId, 'ship', 'InputDataError', async () => null);
    deploy('pay', 'mail');
    await retry(jobId);
    expect(await runSteps(jobId, ['pay', 'mail'])).toEqual(['mail']);
    expect(await complete(jobId)).toMatchObject({
      state: 'completed',
      percent: 100,
      completed_tasks: 2,
      total_tasks: 2,
    });
    expect(await listed(jobId)).toEqual(['1 pay completed', '2 ship failed', '3 mail completed']);
  });

  test('is complete so though the workflow plans by a field that jobs did not have', async () => {
    const jobId = await start();
    await runSteps(jobId, ['pay']);
    await failAt(jobId, 'ship', 'InputDataError', async () => null);
    deploy('pay', 'mail');
    const input = z.strictObject({ last: z._default(z.array(z.string()), ['mail']) });
    const plan = ({ last }: Record<string, unknown>) => ['pay', ...(last as string[])].map((step) => ({ step }));
    entries.order = { ...(entries.order as WorkflowEntry), input, plan };
    await retry(jobId);
    await runSteps(jobId, ['pay', 'mail']);
    expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: 2 });
  });

  test('keeps the places of steps through one change after the other', async () => {
    const jobId = await start();
    for (const steps of [
      ['check', 'pay', 'ship'],
      ['audit', 'mail', 'check', 'pay', 'ship'],
    ]) {
      await failAt(jobId, 'ship', 'InputDataError', async () => null);
      deploy(...steps);
      await retry(jobId);
    }
    expect(await runSteps(jobId, ['audit', 'mail', 'check', 'pay', 'ship'])).toHaveLength(5);
    expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: 5 });
    const steps = ['pay', 'ship', 'mail', 'check', 'audit'];
    expect(await listed(jobId)).toEqual(steps.map((step, index) => `${index + 1} ${step} completed`));
  });

  test('has its gained steps in an automatic retry, too', async () => {
    const jobId = await start(1);
    await runSteps(jobId, ['pay']);
    await failAt(jobId, 'ship', 'ServiceBusyError', async () => null);
    deploy('check', 'pay', 'ship', 'mail');
    world.clock.advance(1_000);
    await world.reconcile();
    expect(await runSteps(jobId, ['check', 'pay', 'ship', 'mail'])).toEqual(['check', 'ship', 'mail']);
    expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: 4 });
  });

  test('has the places of its workflow if it is from before it kept its own', async () => {
    const jobId = await start();
    const key = jobKey(tenant, jobId);
    await world.table.write({ op: 'update', key, set: {}, remove: ['steps'] });
    await runSteps(jobId, ['pay']);
    await failAt(jobId, 'ship', 'InputDataError', async () => null);
    await retry(jobId);
    expect((await world.job(jobId)).steps).toEqual(['pay', 'ship', 'mail']);
    expect(await runSteps(jobId, ['pay', 'ship', 'mail'])).toEqual(['ship', 'mail']);
    expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: 3 });
  });
});

describe('a running job whose workflow changes', () => {
  test('ends by the state machine that it began with, and has no task that this would not run', async () => {
    const jobId = await start();
    await runSteps(jobId, ['pay']);
    deploy('check', 'pay', 'ship', 'mail');
    expect(await runSteps(jobId, ['ship', 'mail'])).toEqual(['ship', 'mail']);
    expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: 3 });
  });

  test('has the gained steps in its next run, behind its own', async () => {
    const jobId = await start();
    await runSteps(jobId, ['pay']);
    deploy('check', 'pay', 'ship', 'mail');
    await world.end(jobId, 'aborted');
    expect(await world.job(jobId)).toMatchObject({ run: 2, steps: ['pay', 'ship', 'mail', 'check'] });
    expect(await runSteps(jobId, ['check', 'pay', 'ship', 'mail'])).toEqual(['check', 'ship', 'mail']);
    expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: 4 });
  });

  test.each(FAULT_CASES)('has them though its run began with a fault: $kind $when any call of a port', (fault) =>
    atEveryCall(
      fault,
      () => {
        world.close();
        deploy('pay', 'ship', 'mail');
        world = openJobsWorld({ entries });
        return { ...world, close: () => {} };
      },
      async () => {
        const jobId = await start();
        await runSteps(jobId, ['pay']);
        deploy('check', 'pay', 'ship', 'mail');
        return jobId;
      },
      (_, jobId) => world.end(jobId, 'aborted'),
      async (_, jobId) => {
        await world.reconcile();
        expect(await runSteps(jobId, ['check', 'pay', 'ship', 'mail'])).toEqual(['check', 'ship', 'mail']);
        expect(await complete(jobId)).toMatchObject({ state: 'completed', percent: 100, total_tasks: 4 });
      },
    ),
  );

  test('fails when its input is not one of its workflow any more', async () => {
    const jobId = await start();
    const input = z.strictObject({ names: z.array(z.string()) });
    const { order } = entries;
    if (order) entries.order = { ...order, input, plan: ({ names }) => (names as string[]).map((step) => ({ step })) };
    await world.end(jobId, 'aborted');
    expect(await world.job(jobId)).toMatchObject({ state: 'failed', error: { code: 'ValidationError' } });
    await expect(retry(jobId)).rejects.toMatchObject({ code: 'ValidationError' });
  });
});
