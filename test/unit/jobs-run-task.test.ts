import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { type JobsWorld, openJobsWorld } from '../support/jobs-world.ts';

let world: JobsWorld;
beforeEach(() => {
  world = openJobsWorld();
});
afterEach(() => world.close());

const task = async (jobId: JobId, id: string) => {
  const { items } = (await world.call('listTasks', { params: { job_id: jobId }, query: { limit: 500 } })).body;
  return items.find((item) => item.id === id);
};

/** A run that goes on until it is let go. */
function openRun(jobId: JobId, step: string, options: Parameters<JobsWorld['run']>[3] = {}) {
  const begun = Promise.withResolvers<Parameters<Parameters<JobsWorld['run']>[2] & {}>[0]>();
  const release = Promise.withResolvers<string>();
  const done = world.run(
    jobId,
    step,
    async (ctx) => {
      begun.resolve(ctx);
      return release.promise;
    },
    options,
  );
  done.catch(begun.reject);
  return { begun: begun.promise, release: release.resolve, done };
}

describe('runTask', () => {
  test('keeps the result, the counts and the times in the ledger', async () => {
    const jobId = await world.started();
    const output = await world.run(jobId, 'step1', async (ctx) => {
      world.clock.advance(2_000);
      ctx.count({ rows: 2 });
      ctx.count({ rows: 3, bytes: 1 });
      expect(ctx.input).toEqual({ steps: 2 });
      return { rows: 5 };
    });
    expect(output).toEqual({ rows: 5 });
    expect(await task(jobId, 'step1')).toMatchObject({
      state: 'completed',
      attempts: 1,
      output: { rows: 5 },
      started_at: '2026-01-01T00:00:00.000Z',
      ended_at: '2026-01-01T00:00:02.000Z',
    });
  });

  test('answers a completed task with the result it has, without running it', async () => {
    const jobId = await world.started();
    await world.run(jobId, 'step1', async () => 'first');
    const again = await world.run(jobId, 'step1', async () => 'second');
    expect(again).toBe('first');
    expect((await task(jobId, 'step1'))?.attempts).toBe(1);
  });

  test('stays running without a runner while it waits for an answer, and goes on at once', async () => {
    const jobId = await world.started({ steps: 1 });
    const waiting = async () => {
      throw new DomainError('TaskWaitingError', 'not yet');
    };
    await expect(world.run(jobId, 'step1', waiting)).rejects.toMatchObject({ name: 'TaskWaitingError' });
    expect(await task(jobId, 'step1')).toMatchObject({ state: 'running', error: undefined });
    expect(await world.run(jobId, 'step1', async () => 'answered')).toBe('answered');
    expect(await task(jobId, 'step1')).toMatchObject({ state: 'completed', output: 'answered' });
  });

  test('is cancelled at once while it waits for an answer', async () => {
    const jobId = await world.started({ steps: 1 });
    const waiting = async () => {
      throw new DomainError('TaskWaitingError', 'not yet');
    };
    await expect(world.run(jobId, 'step1', waiting)).rejects.toThrow('not yet');
    await world.call('cancelJob', { params: { job_id: jobId } });
    await world.end(jobId, 'aborted');
    expect((await world.job(jobId)).state).toBe('cancelled');
  });

  test('lets one of two runners work, and has the other come again', async () => {
    const jobId = await world.started();
    const run = openRun(jobId, 'step1');
    await run.begun;
    await expect(world.run(jobId, 'step1')).rejects.toMatchObject({ name: 'TaskBusyError' });
    run.release('done');
    expect(await run.done).toBe('done');
    expect(await world.run(jobId, 'step1')).toBe('done');
  });

  test('lets a lapsed lease be taken over, and the old runner know that it lost', async () => {
    const jobId = await world.started();
    const lapsed = openRun(jobId, 'step1');
    const ctx = await lapsed.begun;
    world.clock.advance(60_001);
    expect(await world.run(jobId, 'step1', async () => 'of the second')).toBe('of the second');
    await expect(ctx.heartbeat()).rejects.toMatchObject({ name: 'LeaseLostError' });
    expect(ctx.signal.aborted).toBe(true);
    lapsed.release('of the first');
    await expect(lapsed.done).rejects.toMatchObject({ name: 'LeaseLostError' });
    expect(await task(jobId, 'step1')).toMatchObject({ state: 'completed', output: 'of the second', attempts: 2 });
  });

  test('keeps the lease of a runner that sends heartbeats', async () => {
    const jobId = await world.started();
    const run = openRun(jobId, 'step1');
    const ctx = await run.begun;
    for (let minute = 0; minute < 10; minute += 1) {
      world.clock.advance(50_000);
      await ctx.heartbeat();
      await expect(world.run(jobId, 'step1')).rejects.toMatchObject({ name: 'TaskBusyError' });
    }
    run.release('done');
    expect(await run.done).toBe('done');
  });

  test('counts a late result of a lapsed lease that nobody took over', async () => {
    const jobId = await world.started();
    const run = openRun(jobId, 'step1');
    await run.begun;
    world.clock.advance(600_000);
    run.release('late');
    expect(await run.done).toBe('late');
    expect((await task(jobId, 'step1'))?.state).toBe('completed');
  });

  test('U8 tells running code of a cancellation at its next heartbeat', async () => {
    const jobId = await world.started();
    let heartbeats = 0;
    const run = world.run(jobId, 'step1', async (ctx) => {
      for (;;) {
        await ctx.heartbeat();
        heartbeats += 1;
        world.clock.advance(400);
        if (heartbeats === 10) await world.call('cancelJob', { params: { job_id: jobId } });
      }
    });
    await expect(run).rejects.toMatchObject({ name: 'JobCancelledError' });
    // It looks once a second: three heartbeats of 400 ms.
    expect(heartbeats).toBeLessThanOrEqual(13);
    expect((await task(jobId, 'step1'))?.state).toBe('cancelled');
  });

  test('counts a result that comes after a cancellation', async () => {
    const jobId = await world.started();
    const run = openRun(jobId, 'step1');
    await run.begun;
    await world.call('cancelJob', { params: { job_id: jobId } });
    run.release('late');
    expect(await run.done).toBe('late');
    expect(await task(jobId, 'step1')).toMatchObject({ state: 'completed', output: 'late' });
  });

  test('begins nothing for a job that is cancelled, or for an execution of the past', async () => {
    const jobId = await world.started();
    const ran: string[] = [];
    const body = async () => ran.push('ran');
    for (const options of [{ attempt: 2 }, { run: 2 }])
      await expect(world.run(jobId, 'step1', body, options)).rejects.toMatchObject({ name: 'JobCancelledError' });
    await world.call('cancelJob', { params: { job_id: jobId } });
    await expect(world.run(jobId, 'step1', body)).rejects.toMatchObject({ name: 'JobCancelledError' });
    expect(ran).toEqual([]);
    expect((await task(jobId, 'step1'))?.state).toBe('pending');
  });

  test('gives back a claim that a cancellation did not see', async () => {
    world.close();
    let cancel: (() => Promise<unknown>) | undefined;
    world = openJobsWorld({
      wrapTable: (table) => ({
        get: table.get.bind(table),
        query: table.query.bind(table),
        transact: table.transact.bind(table),
        putAll: table.putAll.bind(table),
        async write(write) {
          const act = cancel;
          cancel = undefined;
          await act?.();
          return table.write(write);
        },
      }),
    });
    const jobId = await world.started();
    cancel = () => world.call('cancelJob', { params: { job_id: jobId } });
    const ran: string[] = [];
    const run = world.run(jobId, 'step1', async () => ran.push('ran'));
    await expect(run).rejects.toMatchObject({ name: 'JobCancelledError' });
    expect(ran).toEqual([]);
    expect((await task(jobId, 'step1'))?.state).toBe('cancelled');
  });

  test('costs a write, a read and a write when its process has run a task of the job before', async () => {
    const jobId = await world.started();
    const calls = async (step: string) => (await world.callsDuring(() => world.run(jobId, step))).names;
    expect(await calls('step1')).toEqual(['get', 'write', 'get', 'write']);
    expect(await calls('step2')).toEqual(['write', 'get', 'write']);
    expect(await calls('step2')).toEqual(['write']);
  });

  test('gives back what it claims for an execution of the past, whose job it knows', async () => {
    const jobId = await world.started();
    await world.run(jobId, 'step1');
    const ran: string[] = [];
    const body = async () => ran.push('ran');
    const past = world.run(jobId, 'step2', body, { run: 2 });
    await expect(past).rejects.toMatchObject({ name: 'JobCancelledError' });
    expect(ran).toEqual([]);
    expect((await task(jobId, 'step2'))?.state).toBe('cancelled');
    expect(await world.run(jobId, 'step2', async () => 'now')).toBe('now');
  });

  test('tells a task whose execution ended', async () => {
    const jobId = await world.started();
    const control = new AbortController();
    const run = world.run(
      jobId,
      'step1',
      async (ctx) => {
        control.abort();
        await ctx.heartbeat();
        return 'not reached';
      },
      { signal: control.signal },
    );
    await expect(run).rejects.toMatchObject({ name: 'JobCancelledError' });
    expect((await task(jobId, 'step1'))?.state).toBe('cancelled');
  });

  test('records an error by its code and throws it under that name', async () => {
    const jobId = await world.started();
    const run = world.run(jobId, 'step1', async () => {
      throw new DomainError('InputDataError', 'row 7 has no price');
    });
    await expect(run).rejects.toMatchObject({ name: 'InputDataError', message: 'row 7 has no price' });
    expect(await task(jobId, 'step1')).toMatchObject({
      state: 'failed',
      error: { code: 'InputDataError', message: 'row 7 has no price' },
    });
  });

  test('T9 records an unknown error as a defect with its message, and logs it', async () => {
    const jobId = await world.started();
    const run = world.run(jobId, 'step1', async () => {
      throw new TypeError('x is undefined');
    });
    await expect(run).rejects.toMatchObject({ name: 'InternalError', message: 'x is undefined' });
    expect((await task(jobId, 'step1'))?.error).toEqual({ code: 'InternalError', message: 'x is undefined' });
    expect(world.logged).toContainEqual(expect.objectContaining({ message: 'task failed with an unexpected error' }));
  });

  test.each([
    ['too long', `${'x'.repeat(1_999)}😀`],
    ['not well-formed', '\ud800'],
  ])('records an error whose text is %s', async (_, text) => {
    const jobId = await world.started();
    const code = 'MarketplaceBusyError';
    const details = { retry_after_seconds: 90 };
    const run = world.run(jobId, 'step1', () => Promise.reject(new DomainError(code, text, details)));
    const message = text.slice(0, 2_000).toWellFormed();
    await expect(run).rejects.toMatchObject({ code, message, details });
    expect(await task(jobId, 'step1')).toMatchObject({ state: 'failed', error: { code, message } });
  });

  test('runs a failed task again', async () => {
    const jobId = await world.started();
    await expect(world.run(jobId, 'step1', () => Promise.reject(new Error('once')))).rejects.toThrow('once');
    expect(await world.run(jobId, 'step1', async () => 'now')).toBe('now');
    expect(await task(jobId, 'step1')).toMatchObject({ state: 'completed', attempts: 2 });
    expect((await task(jobId, 'step1'))?.error).toBeUndefined();
  });

  test('fails a task that heeds nothing when its time is up', async () => {
    const jobId = await world.started();
    const run = world.run(jobId, 'step1', () => new Promise(() => {}), { seconds: 0.05 });
    await expect(run).rejects.toMatchObject({ name: 'TaskTimeoutError' });
    expect(await task(jobId, 'step1')).toMatchObject({ state: 'failed', error: { code: 'TaskTimeoutError' } });
  });

  test('calls the end of its time by that name when the platform tells it first', async () => {
    const jobId = await world.started();
    const control = new AbortController();
    const body = async (ctx: { heartbeat(): Promise<void> }) => {
      control.abort(Object.assign(new Error('too long'), { name: 'States.Timeout' }));
      await ctx.heartbeat();
      return null;
    };
    const run = world.run(jobId, 'step1', body, { signal: control.signal });
    await expect(run).rejects.toMatchObject({ name: 'TaskTimeoutError' });
  });

  test('refuses an output above 200 KiB with a message that says what to do', async () => {
    const jobId = await world.started();
    const run = world.run(jobId, 'step1', async () => 'x'.repeat(204_800));
    await expect(run).rejects.toThrow(/store it as an artifact/);
    expect((await task(jobId, 'step1'))?.state).toBe('failed');
  });

  test('takes a payload of another shape, and a task that nobody planned, for a defect', async () => {
    const jobId = await world.started();
    await expect(world.run(jobId, 'step1', async () => null, { item: -1 })).rejects.toMatchObject({
      name: '$ZodError',
    });
    await expect(world.run(jobId, 'step1', async () => null, { item: 3 })).rejects.toThrow(/not in the ledger/);
    await expect(world.run(jobId, 'nope')).rejects.toThrow(/not among the steps/);
  });

  test('logs computing that no heartbeat interrupts, and no awaiting', async () => {
    const jobId = await world.started({ steps: 2 });
    await world.run(jobId, 'step1', async (ctx) => {
      await ctx.heartbeat();
      await setImmediate();
      return null;
    });
    expect(world.logged.filter(({ level }) => level === 'error')).toEqual([]);
    await world.run(jobId, 'step2', async () => {
      const end = performance.now() + 550;
      while (performance.now() < end);
      return null;
    });
    const errors = world.logged.filter(({ level }) => level === 'error');
    expect(errors).toEqual([expect.objectContaining({ message: 'task computed too long without a heartbeat' })]);
  });
});

describe('the context of a task', () => {
  test('adds tasks, again without harm, and gives their outputs by item', async () => {
    const jobId = await world.started({}, { workflow: 'fan' });
    const tasks = Array.from({ length: 250 }, (_, item) => ({ step: 'work', item }));
    await world.run(jobId, 'split', async (ctx) => {
      await ctx.addTasks(tasks.slice(0, 120));
      return null;
    });
    for (const { item } of tasks.slice(0, 12)) await world.run(jobId, 'work', async () => item * 2, { item });
    const outputs = await world.run(jobId, 'join', async (ctx) => {
      await ctx.addTasks(tasks);
      return (await ctx.outputs('work')).map(({ item, output }) => [item ?? -1, output]);
    });
    expect(outputs).toEqual(tasks.slice(0, 12).map(({ item }) => [item, item * 2]));
    const states = Object.values(await world.states(jobId));
    expect(states).toHaveLength(252);
    expect(states.filter((state) => state === 'completed')).toHaveLength(14);
    expect(await task(jobId, 'work-11')).toMatchObject({ step_order: 2, item: 11, output: 22 });
  });

  test('U7 stores artifacts, which are partial until the job completes', async () => {
    const jobId = await world.started({ steps: 1 });
    await world.run(jobId, 'step1', async (ctx) => {
      const artifact = { name: 'summary.json', contentType: 'application/json' };
      await ctx.artifact({ ...artifact, body: Buffer.from('{}') });
      await ctx.artifact({ ...artifact, body: Buffer.from('{"rows":1}') });
      expect(ctx.scratchKey('x')).toBe(`tenant/acme/jobs/${jobId}/scratch/x`);
      return null;
    });
    const list = async () =>
      (await world.call('listArtifacts', { params: { job_id: jobId }, query: { limit: 50 } })).body;
    const [artifact, ...others] = (await list()).items;
    expect(artifact).toMatchObject({ name: 'summary.json', size_bytes: 10, partial: true });
    expect(artifact?.url).toContain('summary.json');
    expect(artifact?.expires_at).toBe('2026-01-01T00:15:00.000Z');
    expect(others).toEqual([]);
    await world.end(jobId);
    expect((await list()).items[0]?.partial).toBe(false);
    expect(await world.objects.head(`tenant/acme/jobs/${jobId}/artifacts/summary.json`)).toMatchObject({
      sizeBytes: 10,
    });
  });

  test('refuses a name of an artifact that is a path', async () => {
    const jobId = await world.started();
    const artifact = { name: '../x', body: Buffer.from('x'), contentType: 'text/plain' };
    const run = world.run(jobId, 'step1', async (ctx) => {
      await ctx.artifact(artifact);
      return null;
    });
    await expect(run).rejects.toThrow(/not a name/);
  });
});
