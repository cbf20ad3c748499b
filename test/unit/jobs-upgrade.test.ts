import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import type { JobId } from '../../contract/common.ts';
import type { WorkflowEntry } from '../../contract/workflow.ts';
import { publishPendingProgress } from '../../lambdas/jobs/changes.ts';
import { executionName, jobKey, progressKey, queueKey } from '../../lambdas/jobs/records.ts';
import { createTaskRunner } from '../../lambdas/jobs/run-task.ts';
import { defineTask } from '../../lambdas/jobs/task-api.ts';
import { upgradeRow } from '../../lambdas/jobs/upgrade-row.ts';
import type { Item } from '../../platform/ports/table.ts';
import { type JobsWorld, openJobsWorld, tenant } from '../support/jobs-world.ts';
import { makeOld, oldJob } from '../support/old-rows.ts';

const line: WorkflowEntry = {
  name: 'line',
  description: 'Steps in a line, counted by the shop',
  input: z.strictObject({ steps: z._default(z.int(), 2), shop: z._default(z.string(), 'ebay') }),
  files: [],
  labelField: 'shop',
  plan: ({ steps }) => Array.from({ length: Number(steps) }, (_, index) => ({ step: `step${index + 1}` })),
  tasks: {},
};

let world: JobsWorld;
beforeEach(() => {
  world = openJobsWorld({ entries: { line } });
});
afterEach(() => world.close());

const row = async (jobId: JobId) => (await world.table.get(jobKey(tenant, jobId))) as Item;
const stats = async () => (await world.call('getStats', { query: {} })).body.items[0]?.jobs;

/** A job that runs, with rows and an execution of version 0.1. */
async function oldStarted(): Promise<JobId> {
  const jobId = await world.started();
  await makeOld(world.table, tenant, jobId);
  const execution = world.workflows.executions.get(`${jobId}-1-1`);
  const job = { tenant_id: tenant, job_id: jobId, attempt: 1, leg: 1 };
  if (execution) world.workflows.executions.set(execution.name, { ...execution, input: { job } });
  expect(await row(jobId)).toMatchObject({ leg: 1, marketplace: 'ebay' });
  expect(await row(jobId)).not.toHaveProperty('run');
  return jobId;
}

/** As a state machine of data version 1 calls it. */
function runAsOld(jobId: JobId, step: string, body = async () => null): Promise<unknown> {
  const payload = { job: { tenant_id: tenant, job_id: jobId, attempt: 1, leg: 1 } };
  const deadline = new Date(world.clock.now().getTime() + 60_000);
  const runtime = { runnerId: `old-${step}`, signal: new AbortController().signal, deadline };
  return createTaskRunner(world.deps)(defineTask(line, step, body), payload, runtime);
}

describe('rows of jobs of data version 1', () => {
  test('let an execution that is under way run its tasks and end its job', async () => {
    const jobId = await oldStarted();
    await runAsOld(jobId, 'step1');
    await runAsOld(jobId, 'step2');
    await world.end(jobId);
    await world.drain();
    expect(await world.job(jobId)).toMatchObject({ state: 'completed', run: 1, label: 'ebay' });
    expect(await row(jobId)).not.toHaveProperty('marketplace');
    expect(await stats()).toMatchObject({ running: 0, completed: 1 });
    world.checkAtRest();
  });

  test('let an execution that is interrupted have its next run', async () => {
    const jobId = await oldStarted();
    await world.end(jobId, 'aborted');
    expect(await world.job(jobId)).toMatchObject({ state: 'running', attempt: 1, run: 2, interruptions: 1 });
    expect(world.workflows.running().map(({ name }) => name)).toEqual([`${jobId}-1-2`]);
  });

  test('refuse the tasks of an execution that another has followed', async () => {
    const jobId = await oldStarted();
    await world.end(jobId, 'aborted');
    await expect(runAsOld(jobId, 'step1')).rejects.toMatchObject({ code: 'JobCancelledError' });
  });

  test('let a failed job be retried, and skip what is done', async () => {
    const jobId = await oldStarted();
    await runAsOld(jobId, 'step1');
    await world.end(jobId, 'failed', { error: { name: 'InputDataError', cause: 'by the test' } });
    await makeOld(world.table, tenant, jobId);
    await world.call('retryJob', { params: { job_id: jobId } });
    await world.drain();
    expect(await world.job(jobId)).toMatchObject({ state: 'running', attempt: 2, run: 1 });
    expect(await world.states(jobId)).toEqual({ step1: 'completed', step2: 'pending' });
    expect(await stats()).toMatchObject({ failed: 0, running: 1 });
  });

  test('let a running job and a queued one be cancelled', async () => {
    const running = await oldStarted();
    expect((await world.call('cancelJob', { params: { job_id: running } })).status).toBe(202);
    await world.drain();
    await world.reconcile();
    expect(await world.job(running)).toMatchObject({ state: 'cancelled' });
    const queued = await world.create();
    await makeOld(world.table, tenant, queued);
    expect((await world.call('cancelJob', { params: { job_id: queued } })).status).toBe(200);
    await world.drain();
    expect(await stats()).toMatchObject({ queued: 0, running: 0, cancelled: 2 });
    world.checkAtRest();
  });

  test('let a queued job be dispatched', async () => {
    const jobId = await world.create();
    await makeOld(world.table, tenant, jobId);
    await world.drain();
    const job = await world.job(jobId);
    expect([job.state, executionName(job)]).toEqual(['running', `${jobId}-1-1`]);
    expect(world.workflows.running()).toHaveLength(1);
    expect(await world.table.get(queueKey(job))).toBeUndefined();
  });

  test('take a checkpoint of the job from a task that is under way', async () => {
    const jobId = await oldStarted();
    await world.run(jobId, 'step1', async (ctx) => {
      await ctx.saveJobCheckpoint({ iteration: 1, value: 'state', continued: { next: 1 } });
      return null;
    });
    expect((await world.job(jobId)).checkpoint).toMatchObject({ iteration: 1 });
  });

  test('let progress that waits be published, once', async () => {
    const jobId = await world.started({ steps: 3 });
    for (const step of ['step1', 'step2']) {
      await world.run(jobId, step);
      await world.drain();
    }
    await makeOld(world.table, tenant, jobId);
    expect(await world.table.get(progressKey(tenant, jobId))).toMatchObject({
      told_state: 'running',
      untold_seq: expect.any(String),
    });
    world.clock.advance(1_000);
    const publish = () => publishPendingProgress(world.deps, tenant, jobId);
    await Promise.all([publish(), publish()]);
    const progress = (await world.table.get(progressKey(tenant, jobId))) as Item;
    expect(progress).toMatchObject({ published_state: 'running' });
    for (const name of ['untold_seq', 'told_state', 'pending_progress_seq']) expect(progress).not.toHaveProperty(name);
  });

  test('are understood when a function of data version 1 changes a row that a later one has written', async () => {
    const jobId = await world.started();
    const { pk, sk } = await row(jobId);
    await world.table.write({ op: 'update', key: { pk, sk }, set: { leg: 2 } });
    expect(await world.job(jobId)).toMatchObject({ run: 2 });
    await world.call('cancelJob', { params: { job_id: jobId } });
    expect(await row(jobId)).toMatchObject({ state: 'cancelling', run: 2, leg: 2 });
  });

  test('are left as they are by calls that only read', async () => {
    const jobId = await oldStarted();
    const before = [await row(jobId), await world.table.get(progressKey(tenant, jobId))];
    await world.call('getJob', { params: { job_id: jobId } });
    await world.call('listJobs', { query: { limit: 10 } });
    await world.call('listJobEvents', { params: { job_id: jobId }, query: { wait_seconds: 0, limit: 10 } });
    expect([await row(jobId), await world.table.get(progressKey(tenant, jobId))]).toEqual(before);
  });
});

describe('an upgrade of rows', () => {
  test('comes to the same when it is repeated, and changes no row of today', async () => {
    const jobId = await world.started();
    const present = await row(jobId);
    expect(upgradeRow(present)).toBe(present);
    expect(upgradeRow(oldJob(present))).toEqual(present);
    expect(upgradeRow(upgradeRow(oldJob(present)))).toEqual(present);
    const { items } = await world.table.query({ pk: present.pk, prefix: 'TASK#', limit: 10 });
    for (const task of items) expect(upgradeRow(task)).toBe(task);
  });
});
