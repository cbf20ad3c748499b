import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { JobId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { Value } from '../../platform/ports/table.ts';
import { type JobsWorld, mortalTable, openJobsWorld } from '../support/jobs-world.ts';

/** From here on, no write of the process arrives. */
let dead: boolean;

let world: JobsWorld;
beforeEach(() => {
  dead = false;
  world = openJobsWorld({ wrapTable: (table) => mortalTable(table, () => dead) });
});
afterEach(() => {
  vi.useRealTimers();
  world.close();
});

/** A shop outside of Millrace: it keeps what was published, by the key that came with it. */
function openShop({ heedsKeys = true } = {}) {
  const listings = new Map<string, string>();
  let calls = 0;
  return {
    listings,
    calls: () => calls,
    async publish(key: string): Promise<string> {
      calls += 1;
      const id = `listing-${calls}`;
      if (!heedsKeys) listings.set(id, id);
      else if (!listings.has(key)) listings.set(key, id);
      return listings.get(key) ?? id;
    },
  };
}

type Body = Parameters<JobsWorld['run']>[2];

/** A run whose process dies in it: its lease lapses. */
async function dieIn(jobId: JobId, step: string, body: Body): Promise<void> {
  await expect(world.run(jobId, step, body)).rejects.toThrow();
  dead = false;
  world.clock.advance(60_001);
}

const failing = async (): Promise<Value> => {
  throw new DomainError('InputDataError', 'after the effect');
};

describe('ctx.once', () => {
  test('does an effect once over failures, attempts and runs, and answers with what it kept', async () => {
    const jobId = await world.started({ steps: 1 });
    const shop = openShop();
    const keys: string[] = [];
    const publish: Body = async (ctx) =>
      ctx.once('publish', ({ idempotencyKey }) => {
        keys.push(idempotencyKey);
        return shop.publish(idempotencyKey);
      });
    const publishAndFail: Body = async (ctx) => {
      await publish(ctx);
      return failing();
    };
    await expect(world.run(jobId, 'step1', publishAndFail)).rejects.toThrow('after the effect');
    await world.end(jobId, 'failed');
    await world.call('retryJob', { params: { job_id: jobId } });
    await world.drain();
    await expect(world.run(jobId, 'step1', publishAndFail)).rejects.toThrow('after the effect');
    await world.end(jobId, 'aborted');
    expect(await world.run(jobId, 'step1', publish)).toBe('listing-1');
    expect([shop.calls(), keys]).toEqual([1, [`${jobId}:step1:publish`]]);
  });

  test('keeps effects of other names and tasks apart', async () => {
    const jobId = await world.started({}, { workflow: 'fan' });
    const shop = openShop();
    const both: Body = async (ctx) => [
      await ctx.once('a', ({ idempotencyKey }) => shop.publish(idempotencyKey)),
      await ctx.once('b', ({ idempotencyKey }) => shop.publish(idempotencyKey)),
      await ctx.once('a', ({ idempotencyKey }) => shop.publish(idempotencyKey)),
    ];
    await world.run(jobId, 'split', async (ctx) => {
      await ctx.addTasks([0, 1].map((item) => ({ step: 'work', item })));
      return null;
    });
    expect(await world.run(jobId, 'work', both, { item: 0 })).toEqual(['listing-1', 'listing-2', 'listing-1']);
    expect(await world.run(jobId, 'work', both, { item: 1 })).toEqual(['listing-3', 'listing-4', 'listing-3']);
    expect([...shop.listings.keys()]).toEqual(
      ['work-0:a', 'work-0:b', 'work-1:a', 'work-1:b'].map((name) => `${jobId}:${name}`),
    );
  });

  test('M6 repeats under the same key what a dead process may have done: an outside that heeds it does it once', async () => {
    const jobId = await world.started({ steps: 1 });
    const shop = openShop();
    await dieIn(jobId, 'step1', async (ctx) =>
      ctx.once('publish', async ({ idempotencyKey }) => {
        const listing = await shop.publish(idempotencyKey);
        dead = true;
        return listing;
      }),
    );
    const publish: Body = (ctx) => ctx.once('publish', ({ idempotencyKey }) => shop.publish(idempotencyKey));
    expect(await world.run(jobId, 'step1', publish)).toBe('listing-1');
    expect([shop.calls(), shop.listings.size]).toEqual([2, 1]);
  });

  test('M6 asks an outside that heeds no keys what the dead process has done', async () => {
    const jobId = await world.started({ steps: 2 });
    const shop = openShop({ heedsKeys: false });
    const find = async () => [...shop.listings.values()][0];
    const publish =
      (dies: 'before' | 'after' | 'never'): Body =>
      (ctx) =>
        ctx.once(
          'publish',
          async ({ idempotencyKey }) => {
            dead = dies !== 'never';
            return dies === 'before' ? failing() : shop.publish(idempotencyKey);
          },
          { find },
        );
    await dieIn(jobId, 'step1', publish('before'));
    expect(shop.calls()).toBe(0);
    await dieIn(jobId, 'step1', publish('after'));
    expect(shop.calls()).toBe(1);
    expect(await world.run(jobId, 'step1', publish('never'))).toBe('listing-1');
    expect(shop.calls()).toBe(1);
  });

  test('does not ask before the first try, and asks again after a try that failed', async () => {
    const jobId = await world.started({ steps: 1 });
    const asked: string[] = [];
    const tryIt = (effect: () => Promise<Value>): Body => {
      return (ctx) => ctx.once('pay', effect, { find: async () => void asked.push('asked') });
    };
    await expect(world.run(jobId, 'step1', tryIt(failing))).rejects.toThrow('after the effect');
    expect(asked).toEqual([]);
    await expect(world.run(jobId, 'step1', tryIt(failing))).rejects.toThrow('after the effect');
    expect(asked).toEqual(['asked']);
    expect(
      await world.run(
        jobId,
        'step1',
        tryIt(async () => null),
      ),
    ).toBe(null);
    expect(asked).toEqual(['asked', 'asked']);
  });

  test('does nothing again when the outside cannot tell and `find` says so', async () => {
    const jobId = await world.started({ steps: 1 });
    let sent = 0;
    const send: Body = (ctx) =>
      ctx.once(
        'mail',
        async () => {
          sent += 1;
          throw new DomainError('ServiceBusyError', 'no answer');
        },
        {
          find: async () => {
            throw new DomainError('InputDataError', 'look whether the mail was sent');
          },
        },
      );
    await expect(world.run(jobId, 'step1', send)).rejects.toMatchObject({ code: 'ServiceBusyError' });
    await expect(world.run(jobId, 'step1', send)).rejects.toMatchObject({ code: 'InputDataError' });
    expect(sent).toBe(1);
  });

  test('makes one of calls at the same time, and tries again after a failure in the same run', async () => {
    const jobId = await world.started({ steps: 1 });
    const shop = openShop();
    const result = await world.run(jobId, 'step1', async (ctx) => {
      await expect(ctx.once('publish', failing)).rejects.toThrow('after the effect');
      const publish = () => ctx.once('publish', ({ idempotencyKey }) => shop.publish(idempotencyKey));
      return Promise.all([publish(), publish(), publish()]);
    });
    expect(result).toEqual(['listing-1', 'listing-1', 'listing-1']);
    expect(shop.calls()).toBe(1);
  });

  test('lets no runner begin an effect that has lost its task, and keeps what it did if nobody has taken it up', async () => {
    const jobId = await world.started({ steps: 1 });
    const shop = openShop();
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    let late: unknown;
    const lapsed = world.run(jobId, 'step1', async (ctx) => {
      const first = await ctx.once('first', async ({ idempotencyKey }) => {
        begun.resolve();
        await goOn.promise;
        return shop.publish(idempotencyKey);
      });
      late = await ctx.once('second', ({ idempotencyKey }) => shop.publish(idempotencyKey)).catch((error) => error);
      return first;
    });
    await begun.promise;
    world.clock.advance(60_001);
    const answers = await world.run(jobId, 'step1', async (ctx) => {
      goOn.resolve();
      await expect(lapsed).rejects.toMatchObject({ name: 'LeaseLostError' });
      const publish = (name: string) => ctx.once(name, ({ idempotencyKey }) => shop.publish(idempotencyKey));
      return [await publish('first'), await publish('second')];
    });
    expect(late).toMatchObject({ name: 'LeaseLostError' });
    expect(answers).toEqual(['listing-1', 'listing-2']);
    expect([shop.calls(), shop.listings.size]).toEqual([2, 2]);
  });

  test('takes no record from a runner whose effect another has taken up', async () => {
    const jobId = await world.started({ steps: 1 });
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<string>();
    const lapsed = world.run(jobId, 'step1', (ctx) =>
      ctx.once('publish', async () => {
        begun.resolve();
        return goOn.promise;
      }),
    );
    await begun.promise;
    world.clock.advance(60_001);
    const taken = await world.run(jobId, 'step1', (ctx) => ctx.once('publish', async () => 'of the second'));
    expect(taken).toBe('of the second');
    goOn.resolve('of the first');
    await expect(lapsed).rejects.toMatchObject({ name: 'LeaseLostError' });
  });

  test('U8 keeps the lease while an effect takes long, and tells it of a cancellation', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const jobId = await world.started({ steps: 1 });
    const begun = Promise.withResolvers<AbortSignal>();
    const run = world.run(jobId, 'step1', (ctx) =>
      ctx.once('wait', ({ signal }) => {
        begun.resolve(signal);
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      }),
    );
    run.catch(() => undefined);
    const signal = await begun.promise;
    for (let minute = 0; minute < 3; minute += 1) {
      world.clock.advance(50_000);
      await vi.advanceTimersByTimeAsync(1_000);
      await expect(world.run(jobId, 'step1')).rejects.toMatchObject({ name: 'TaskBusyError' });
    }
    expect(signal.aborted).toBe(false);
    await world.call('cancelJob', { params: { job_id: jobId } });
    world.clock.advance(1_000);
    await vi.advanceTimersByTimeAsync(1_000);
    await expect(run).rejects.toMatchObject({ name: 'JobCancelledError' });
    expect(vi.getTimerCount()).toBe(0);
  });

  test('refuses a result that the ledger does not take, and a name that is none', async () => {
    const jobId = await world.started({ steps: 1 });
    const large = world.run(jobId, 'step1', (ctx) => ctx.once('x', async () => 'x'.repeat(204_800)));
    await expect(large).rejects.toThrow(/the result of x in step1 has 204802 bytes/);
    await expect(world.run(jobId, 'step1', (ctx) => ctx.once('a b', async () => 1))).rejects.toThrow(/not a name/);
  });
});

describe('a task that uses neither effects nor checkpoints', () => {
  test('writes twice a run', async () => {
    const jobId = await world.started({ steps: 1 });
    const before = world.nextChanges(1_000, 0).length;
    await world.run(jobId, 'step1');
    expect(world.nextChanges(1_000, 0).length - before).toBe(2);
  });
});
