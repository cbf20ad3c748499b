import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { MIB } from '../../contract/limits.ts';
import type { Value } from '../../platform/ports/table.ts';
import { type JobsWorld, openJobsWorld } from '../support/jobs-world.ts';

let world: JobsWorld;
beforeEach(() => {
  world = openJobsWorld();
});
afterEach(() => world.close());

const small = { iteration: 3, weights: [0.1 + 0.2, 5e-324] };
const large = { iteration: 4, weights: Array.from({ length: 5_000 }, (_, at) => Math.sin(at) * 10 ** (at % 30)) };

/** Keeps the values, and fails. */
async function keep(jobId: JobId, ...values: readonly Value[]): Promise<void> {
  const run = world.run(jobId, 'step1', async (ctx) => {
    for (const value of values) await ctx.checkpoint(value);
    throw new DomainError('InputDataError', 'after the checkpoint');
  });
  await expect(run).rejects.toThrow('after the checkpoint');
}

async function last(jobId: JobId): Promise<Value | undefined> {
  let found: Value | undefined;
  const run = world.run(jobId, 'step1', async (ctx) => {
    found = await ctx.lastCheckpoint();
    throw new DomainError('InputDataError', 'only a look');
  });
  await expect(run).rejects.toThrow('only a look');
  return found;
}

async function objects(jobId: JobId): Promise<readonly string[]> {
  const { items } = await world.objects.list({ prefix: `tenant/acme/jobs/${jobId}/checkpoints/` });
  return items.map(({ key }) => key);
}

describe('ctx.checkpoint', () => {
  test.each([
    { size: 'small', value: small, count: 0 },
    { size: 'large', value: large, count: 1 },
  ])('T8 gives a $size value to the next run, over retries and runs, to the last bit', async ({ value, count }) => {
    const jobId = await world.started({ steps: 2 });
    expect(await last(jobId)).toBeUndefined();
    await keep(jobId, { iteration: 1 }, value);
    await world.end(jobId, 'failed');
    await world.call('retryJob', { params: { job_id: jobId } });
    await world.drain();
    expect(await last(jobId)).toEqual(value);
    await world.end(jobId, 'aborted');
    expect(await last(jobId)).toEqual(value);
    expect(await objects(jobId)).toHaveLength(count);
    await world.run(jobId, 'step2', async (ctx) => {
      expect(await ctx.lastCheckpoint()).toBeUndefined();
      return null;
    });
  });

  test('replaces the one before, also in the same run, and leaves no object behind', async () => {
    const jobId = await world.started({ steps: 1 });
    for (const values of [[large, small, large], [large], [large, small]]) {
      await keep(jobId, ...values);
      expect(await last(jobId)).toEqual(values.at(-1));
      expect(await objects(jobId)).toHaveLength(values.at(-1) === large ? 1 : 0);
    }
    const seen: (Value | undefined)[] = [];
    await world.run(jobId, 'step1', async (ctx) => {
      seen.push(await ctx.lastCheckpoint());
      const changing = [7];
      await ctx.checkpoint(changing);
      changing[0] = 8;
      seen.push(await ctx.lastCheckpoint());
      return null;
    });
    expect(seen).toEqual([small, [7]]);
  });

  test.each([small, large])(
    'is gone when the task is completed, and stays when the job is cancelled',
    async (value) => {
      const jobId = await world.started({ steps: 1 });
      await keep(jobId, value);
      await world.call('cancelJob', { params: { job_id: jobId } });
      await world.reconcile();
      await world.call('retryJob', { params: { job_id: jobId } });
      await world.drain();
      expect(await last(jobId)).toEqual(value);
      await world.run(jobId, 'step1', async (ctx) => {
        await ctx.checkpoint(value);
        return 'done';
      });
      const { items } = await world.table.query({ pk: `T#acme#J#${jobId}`, prefix: 'TASK#', limit: 1 });
      expect(items[0]).toMatchObject({ state: 'completed', output: 'done' });
      expect(items[0]).not.toHaveProperty('checkpoint');
      expect(await objects(jobId)).toEqual([]);
    },
  );

  test('counts one that is damaged or gone as none, and logs it', async () => {
    const jobId = await world.started({ steps: 1 });
    const lost = [
      (key: string) =>
        world.objects.put({ key, body: Buffer.from(JSON.stringify(small)), contentType: 'application/json' }),
      (key: string) => world.objects.delete(key),
    ];
    for (const lose of lost) {
      await keep(jobId, large);
      await lose((await objects(jobId))[0] ?? '');
      expect(await last(jobId)).toBeUndefined();
    }
    expect(world.logged.filter(({ message }) => message === 'checkpoint is corrupt')).toHaveLength(2);
  });

  test('is refused to a runner that lost its task, and leaves that of the other alone', async () => {
    const jobId = await world.started({ steps: 1 });
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const lapsed = world.run(jobId, 'step1', async (ctx) => {
      begun.resolve();
      await goOn.promise;
      await ctx.checkpoint(large);
      return null;
    });
    await begun.promise;
    world.clock.advance(60_001);
    await keep(jobId, small);
    goOn.resolve();
    await expect(lapsed).rejects.toMatchObject({ name: 'LeaseLostError' });
    expect(await last(jobId)).toEqual(small);
  });

  test('renews the lease', async () => {
    const jobId = await world.started({ steps: 1 });
    await world.run(jobId, 'step1', async (ctx) => {
      for (let minute = 0; minute < 3; minute += 1) {
        world.clock.advance(50_000);
        await ctx.checkpoint(minute);
        await expect(world.run(jobId, 'step1')).rejects.toMatchObject({ name: 'TaskBusyError' });
      }
      return null;
    });
  });

  test('refuses more than 64 MiB with a message that says what to do', async () => {
    const jobId = await world.started({ steps: 1 });
    const run = world.run(jobId, 'step1', async (ctx) => {
      await ctx.checkpoint('x'.repeat(64 * MIB));
      return null;
    });
    await expect(run).rejects.toThrow(/64 MiB are allowed: store large data in scratch objects/);
  });
});
