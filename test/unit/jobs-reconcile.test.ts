import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { createJob } from '../../lambdas/jobs/create-job.ts';
import { jobKey, slotsKey } from '../../lambdas/jobs/records.ts';
import type { Write } from '../../platform/ports/table.ts';
import { type JobsWorld, mortalTable, openJobsWorld, tenant } from '../support/jobs-world.ts';

/** Refuses every write from the one on that the test names, as a process does that dies there. */
let diesAt: (write: readonly Write[]) => boolean;
let dead: boolean;

function isDead(writes: readonly Write[]): boolean {
  dead ||= diesAt(writes);
  return dead;
}

let world: JobsWorld;
beforeEach(() => {
  diesAt = () => false;
  dead = false;
  world = openJobsWorld({ wrapTable: (table) => mortalTable(table, isDead) });
});
afterEach(() => world.close());

const state = async (jobId: JobId) => (await world.job(jobId)).state;
const restart = () => {
  diesAt = () => false;
  dead = false;
};
/** Of more tasks than one transaction adds. */
const body = { workflow: 'line', input: { steps: 99 }, max_retries: 0 };
const sets = (to: string) => (writes: readonly Write[]) =>
  writes.some((write) => write.op === 'update' && write.set?.state === to);

async function openRun(jobId: JobId, runnerId: string) {
  const release = Promise.withResolvers<void>();
  const done = world.run(jobId, 'step1', () => release.promise.then(() => null), { runnerId });
  await expect.poll(() => world.states(jobId)).toMatchObject({ step1: 'running' });
  return { release: release.resolve, done };
}

describe('reconcileJobs', () => {
  test.each([
    { where: 'before its tasks', at: (writes: readonly Write[]) => writes.some(({ op }) => op === 'put') && seen() },
    { where: 'before it was queued', at: sets('queued') },
  ])('finishes a job whose creator died $where', async ({ at }) => {
    puts = 0;
    diesAt = at;
    await expect(createJob(world.deps, { tenantId: tenant, body })).rejects.toThrow('died');
    restart();
    const { items } = (await world.call('listJobs', { query: { limit: 1 } })).body;
    const jobId = items[0]?.id as JobId;
    expect(await state(jobId)).toBe('creating');
    expect(await world.reconcile()).toMatchObject({ created: 0 });
    world.clock.advance(60_000);
    expect(await world.reconcile()).toMatchObject({ created: 1, errors: 0 });
    expect(await state(jobId)).toBe('running');
    expect(Object.values(await world.states(jobId))).toEqual(Array.from({ length: 99 }, () => 'pending'));
  });

  test('drops a job being created whose workflow is gone', async () => {
    diesAt = sets('queued');
    await expect(createJob(world.deps, { tenantId: tenant, body })).rejects.toThrow('died');
    restart();
    const { items } = (await world.call('listJobs', { query: { limit: 1 } })).body;
    const jobId = items[0]?.id as JobId;
    world.clock.advance(60_000);
    Object.assign(world.deps, { entries: {} });
    await world.reconcile();
    expect(await world.job(jobId)).toMatchObject({ state: 'failed', error: { code: 'WorkflowNotFoundError' } });
  });

  test('starts what was admitted by a dispatcher that died before the start', async () => {
    const jobId = await world.create();
    world.workflows.beforeStart = async () => {
      throw new Error('died');
    };
    await world.drain();
    expect(await state(jobId)).toBe('running');
    expect(world.workflows.executions.size).toBe(0);
    world.workflows.beforeStart = async () => {};
    expect(await world.reconcile()).toMatchObject({ started: 1 });
    expect(world.workflows.running().map(({ name }) => name)).toEqual([`${jobId}-1-1`]);
    expect(await world.reconcile()).toMatchObject({ started: 0 });
    expect(await world.slots()).toBe(1);
  });

  test('settles a job whose ended event was lost', async () => {
    const jobId = await world.started({ steps: 1 });
    await world.run(jobId, 'step1');
    world.workflows.end(`${jobId}-1-1`, 'succeeded');
    expect(await world.reconcile()).toMatchObject({ settled: 1 });
    expect(await state(jobId)).toBe('completed');
    expect(await world.reconcile()).toMatchObject({ jobs: 0 });
  });

  test('starts a run whose settler died before the start', async () => {
    const jobId = await world.started();
    world.workflows.beforeStart = async () => {
      throw new Error('died');
    };
    await expect(world.end(jobId, 'aborted')).rejects.toThrow('died');
    world.workflows.beforeStart = async () => {};
    expect(await world.reconcile()).toMatchObject({ started: 1 });
    expect(world.workflows.running().map(({ name }) => name)).toEqual([`${jobId}-1-2`]);
  });

  test('ends a cancellation when the lease of its dead runner has lapsed', async () => {
    const jobId = await world.started();
    const run = await openRun(jobId, 'r1');
    await world.call('cancelJob', { params: { job_id: jobId } });
    expect(await world.reconcile()).toMatchObject({ cancelled: 0 });
    world.clock.advance(60_000);
    expect(await world.reconcile()).toMatchObject({ cancelled: 1 });
    expect(await state(jobId)).toBe('cancelled');
    expect((await world.states(jobId)).step1).toBe('cancelled');
    run.release();
    await run.done;
  });

  test('stops an execution again whose job is being cancelled', async () => {
    const jobId = await world.started();
    const { stop } = world.workflows;
    world.workflows.stop = () => Promise.reject(new Error('throttled'));
    expect(await world.call('cancelJob', { params: { job_id: jobId } })).toMatchObject({ status: 202 });
    world.workflows.stop = stop;
    await world.reconcile();
    await world.reconcile();
    expect(await state(jobId)).toBe('cancelled');
    expect(world.workflows.running()).toEqual([]);
  });

  test('T7 takes up at once what ran in a process that is gone', async () => {
    const jobId = await world.started({ steps: 2 });
    const run = await openRun(jobId, 'dead');
    world.workflows.end(`${jobId}-1-1`, 'aborted');
    const report = await world.reconcile({ runnersAlive: (runnerId) => runnerId !== 'dead' });
    expect(report).toMatchObject({ leases: 1, settled: 1 });
    expect(await world.job(jobId)).toMatchObject({ state: 'running', run: 2 });
    expect(await world.run(jobId, 'step1', async () => 'again')).toBe('again');
    run.release();
    await expect(run.done).rejects.toMatchObject({ name: 'LeaseLostError' });
  });

  test('leaves the leases of living runners alone', async () => {
    const jobId = await world.started();
    const run = await openRun(jobId, 'r1');
    expect(await world.reconcile({ runnersAlive: () => true })).toMatchObject({ leases: 0 });
    run.release();
    await run.done;
  });

  test('dispatches queued jobs whose change was lost', async () => {
    const jobId = await world.create();
    await world.reconcile();
    expect(await state(jobId)).toBe('running');
  });

  test('tells how long the job has been due that waits longest', async () => {
    world.close();
    world = openJobsWorld({ runningLimit: 1 });
    await world.started();
    expect((await world.reconcile()).oldest_queued_seconds).toBe(0);
    await world.create();
    world.clock.advance(90_000);
    await world.create();
    world.clock.advance(10_000);
    expect((await world.reconcile()).oldest_queued_seconds).toBe(100);
  });

  test('frees a slot that leaked', async () => {
    world.close();
    world = openJobsWorld({ runningLimit: 1 });
    const lost = await world.started();
    await world.table.write({ op: 'delete', key: jobKey(tenant, lost) });
    const jobId = await world.started();
    expect(await state(jobId)).toBe('queued');
    expect(await world.reconcile()).toMatchObject({ slots: 1 });
    expect(await state(jobId)).toBe('running');
    expect(await world.table.get(slotsKey(tenant))).toEqual({ ...slotsKey(tenant), running: 1, [jobId]: true });
  });

  test('goes on with other jobs when one is in trouble', async () => {
    const ids = [await world.started(), await world.started(), await world.started()];
    const { describe: ask } = world.workflows;
    world.workflows.describe = async (id) => {
      if (id.name.startsWith(ids[0] as string)) throw new Error('throttled');
      return ask.call(world.workflows, id);
    };
    for (const jobId of ids) world.workflows.end(`${jobId}-1-1`, 'failed');
    expect(await world.reconcile()).toMatchObject({ jobs: 3, settled: 2, errors: 1 });
  });
});

let puts = 0;
/** The second write of a creation is that of its tasks. */
function seen(): boolean {
  puts += 1;
  return puts === 2;
}
