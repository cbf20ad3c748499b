import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import type { Logged } from '../../contract/event.ts';
import { type JobEvent, LoggedJobEvent } from '../../contract/events/jobs.ts';
import { publishPendingProgress } from '../../lambdas/jobs/changes.ts';
import { jobKey, progressKey } from '../../lambdas/jobs/records.ts';
import { eventKey } from '../../lambdas/runtime/event-rows.ts';
import { type JobsWorld, openJobsWorld, tenant } from '../support/jobs-world.ts';

let world: JobsWorld;
beforeEach(() => {
  world = openJobsWorld();
});
afterEach(() => world.close());

const list = async (jobId: JobId, query: { after?: string; wait_seconds?: number; limit?: number } = {}) =>
  (await world.call('listJobEvents', { params: { job_id: jobId }, query: { wait_seconds: 0, limit: 100, ...query } }))
    .body;
const told = (events: readonly JobEvent[]) =>
  events.map(({ data }) => ('state' in data ? data.state : data.progress.percent));

async function runAll(jobId: JobId, steps: number, body?: (step: number) => Promise<void>): Promise<void> {
  for (let step = 1; step <= steps; step += 1) {
    await world.run(jobId, `step${step}`, async (ctx) => {
      ctx.count({ rows: step });
      return null;
    });
    await body?.(step);
  }
}

describe('the change feed of jobs', () => {
  test('stores every change of state as one event in the log of its job', async () => {
    const jobId = await world.started({ steps: 1 });
    await runAll(jobId, 1);
    await world.end(jobId);
    await world.drain();
    const { items } = await list(jobId);
    const common = { tenant_id: tenant };
    const data = { job_id: jobId, workflow: 'line', attempt: 1 };
    const states = items.filter((event) => 'state' in event.data);
    expect(states).toMatchObject([
      { ...common, id: `${jobId}-1-queued`, type: 'job.queued', data: { ...data, state: 'queued' } },
      { ...common, id: `${jobId}-1-running`, type: 'job.running', data: { ...data, previous: 'queued' } },
      { ...common, id: `${jobId}-1-completed`, type: 'job.completed', data: { ...data, previous: 'running' } },
    ]);
    expect(items.map((event) => LoggedJobEvent.parse(event))).toEqual(items);
    expect(told(items)).toEqual(['queued', 'running', 100, 'completed']);
  });

  test('counts and tells changes once that come again, in other batches and at the same time', async () => {
    const jobId = await world.started({ steps: 6 });
    await runAll(jobId, 6, async () => world.clock.advance(1_000));
    await world.end(jobId);
    const all = world.nextChanges(1_000, 0);
    for (const size of [3, 7, all.length])
      for (let start = 0; start < all.length; start += size) {
        const batch = all.slice(start, start + size);
        await Promise.all([world.consume(batch), world.consume(batch)]);
      }
    await world.drain();
    expect(await world.table.get(progressKey(tenant, jobId))).toMatchObject({
      completed: 6,
      total: 6,
      detail: { rows: 21 },
    });
    const { items } = await list(jobId);
    expect(told(items).filter((event) => typeof event === 'string')).toEqual(['queued', 'running', 'completed']);
    expect(items.map(({ cursor }) => cursor)).toEqual([...new Set(items.map(({ cursor }) => cursor))].sort());
    expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
  });

  test('tells progress at most twice a second, and always when all tasks are done', async () => {
    const jobId = await world.started({ steps: 20 });
    await runAll(jobId, 20, async (step) => {
      if (step < 20) world.clock.advance(100);
      await world.drain();
    });
    const progress = (await list(jobId)).items.filter(({ type }) => type === 'job.progress');
    const times = progress.map(({ time }) => Date.parse(time));
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(gaps.slice(0, -1).every((gap) => gap >= 500)).toBe(true);
    expect(progress.length).toBeGreaterThan(3);
    expect(progress.at(-1)).toMatchObject({
      data: { progress: { percent: 100, completed_tasks: 20, detail: { rows: 210 } } },
    });
    const percents = told(progress);
    expect(percents).toEqual([...percents].sort((a, b) => Number(a) - Number(b)));
  });

  test('shows the step at work, then finalizing, and an estimate', async () => {
    const jobId = await world.started({ steps: 4 });
    const get = async () => (await world.call('getJob', { params: { job_id: jobId } })).body.progress;
    world.clock.advance(10_000);
    await world.run(jobId, 'step1');
    await world.drain();
    expect(await get()).toEqual({ percent: 25, phase: 'step1', completed_tasks: 1, total_tasks: 4, eta_seconds: 30 });
    for (const step of ['step2', 'step3', 'step4']) await world.run(jobId, step);
    await world.drain();
    expect(await get()).toMatchObject({ percent: 100, phase: 'finalizing', eta_seconds: 0 });
  });

  test('tells the estimate and the phase with the progress, too', async () => {
    const jobId = await world.started({ steps: 2 });
    for (const step of ['step1', 'step2']) {
      world.clock.advance(3_000);
      await world.run(jobId, step);
      await world.drain();
    }
    const progress = (await list(jobId)).items.flatMap((event) =>
      event.type === 'job.progress' ? [event.data.progress] : [],
    );
    expect(progress).toMatchObject([
      { phase: 'step1', eta_seconds: 3 },
      { phase: 'finalizing', eta_seconds: 0 },
    ]);
  });

  test('estimates a retry by what it does itself', async () => {
    const jobId = await world.started({ steps: 4 });
    const get = async () => (await world.call('getJob', { params: { job_id: jobId } })).body.progress;
    await world.run(jobId, 'step1');
    world.clock.advance(10_000);
    await world.end(jobId, 'failed');
    await world.call('retryJob', { params: { job_id: jobId } });
    world.clock.advance(10_000);
    await world.drain();
    const starting = await get();
    expect([starting.phase, starting.percent, starting.eta_seconds]).toEqual(['starting', 25, undefined]);
    world.clock.advance(5_000);
    await world.run(jobId, 'step2');
    await world.drain();
    expect(await get()).toMatchObject({ phase: 'step2', percent: 50, eta_seconds: 10 });
  });

  test('counts the tasks that are found later', async () => {
    const jobId = await world.started({}, { workflow: 'fan' });
    await world.run(jobId, 'split', async (ctx) => {
      await ctx.addTasks([0, 1, 2].map((item) => ({ step: 'work', item })));
      return null;
    });
    await world.drain();
    expect((await world.call('getJob', { params: { job_id: jobId } })).body.progress).toMatchObject({
      percent: 20,
      completed_tasks: 1,
      total_tasks: 5,
    });
  });

  test('writes its progress row once a batch, however many tasks changed', async () => {
    const jobId = await world.create({ steps: 90 });
    await world.drain(1_000);
    const rows = world.nextChanges(1_000, 0).filter(({ key }) => key.sk === 'PROGRESS');
    // One for the creation, one for the start.
    expect(rows.length).toBeLessThanOrEqual(2);
    expect(await world.table.get(progressKey(tenant, jobId))).toMatchObject({ total: 90 });
  });

  test('tells progress later that came too soon after the last, once and in its place', async () => {
    const jobId = await world.started({ steps: 4 });
    await runAll(jobId, 2, async () => world.drain());
    const before = told((await list(jobId)).items);
    expect(before).not.toContain(50);
    world.clock.advance(499);
    await publishPendingProgress(world.deps, tenant, jobId);
    expect(told((await list(jobId)).items)).toEqual(before);
    world.clock.advance(1);
    await Promise.all([
      publishPendingProgress(world.deps, tenant, jobId),
      publishPendingProgress(world.deps, tenant, jobId),
    ]);
    const { items } = await list(jobId);
    expect(told(items)).toEqual([...before, 50]);
    expect(items.map(({ cursor }) => cursor)).toEqual(items.map(({ cursor }) => cursor).sort());
  });

  test('names with each event the one that it follows', async () => {
    const jobId = await world.started({ steps: 3 });
    await runAll(jobId, 3, async () => world.clock.advance(600));
    await world.end(jobId);
    await world.drain();
    const { pk, sk: prefix } = eventKey(jobKey(tenant, jobId).pk, '');
    const { items } = await world.table.query({ pk, prefix, limit: 100 });
    const cursors = items.map(({ sk }) => sk.slice(prefix.length));
    expect(items.map(({ follows }) => follows)).toEqual([undefined, ...cursors.slice(0, -1)]);
  });

  test('costs a read and a transaction for the tasks of a batch', async () => {
    const jobId = await world.started({ steps: 3 });
    for (const step of ['step1', 'step2']) {
      await world.run(jobId, step);
      const { names } = await world.callsDuring(() => world.drain());
      expect(names).toEqual(['get', 'transact']);
    }
  });

  test('costs dispatch a query when nothing waits, and one for a page of what does', async () => {
    const jobId = await world.create();
    const dispatched = await world.callsDuring(() => world.drain(2));
    expect(dispatched.names.filter((name) => name === 'query')).toHaveLength(1);
    await world.end(jobId);
    const ended = await world.callsDuring(() => world.drain());
    expect(ended.names.filter((name) => name === 'query')).toHaveLength(1);
  });
});

describe('getJob', () => {
  test('reads the job and its progress at the same time', async () => {
    const jobId = await world.started();
    const get = () => world.call('getJob', { params: { job_id: jobId } });
    expect(await world.callsDuring(get)).toEqual({ names: ['get', 'get'], atOnce: 2 });
  });
});

describe('listJobEvents', () => {
  test('goes on after a cursor, page by page', async () => {
    const jobId = await world.started({ steps: 1 });
    await runAll(jobId, 1);
    await world.end(jobId);
    await world.drain();
    const events: Logged<JobEvent>[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await list(jobId, { limit: 1, ...(after ? { after } : {}) });
      if (page.items.length === 0) break;
      events.push(...page.items);
      after = page.next_cursor;
    }
    expect(told(events)).toEqual(['queued', 'running', 100, 'completed']);
    expect(after).toBe(events.at(-1)?.cursor);
    expect((await list(jobId, { ...(after ? { after } : {}) })).next_cursor).toBe(after);
  });

  // A poll that waited for its whole time would take as long as the test may.
  test('waits for an event and answers as soon as there is one', { timeout: 15_000 }, async () => {
    const jobId = await world.started({ steps: 1 });
    const after = (await list(jobId)).next_cursor ?? '';
    const waiting = list(jobId, { after, wait_seconds: 20 });
    await runAll(jobId, 1);
    await world.end(jobId);
    await world.drain();
    expect(told((await waiting).items)).toEqual([100, 'completed']);
  });

  test('does not wait when the job has ended and all is told', { timeout: 15_000 }, async () => {
    const jobId = await world.create();
    await world.call('cancelJob', { params: { job_id: jobId } });
    await world.drain();
    const after = (await list(jobId)).next_cursor ?? '';
    expect((await list(jobId, { after, wait_seconds: 20 })).items).toEqual([]);
  });

  test('answers nothing when the time is up', async () => {
    const jobId = await world.started();
    const after = (await list(jobId)).next_cursor ?? '';
    expect(await list(jobId, { after, wait_seconds: 1 })).toEqual({ items: [], next_cursor: after });
  });
});
