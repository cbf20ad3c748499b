import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdaptiveConcurrency, fixedConcurrency } from '../../client/upload/concurrency.ts';
import { PartSlots } from '../../client/upload/part-slots.ts';

interface Link {
  /** What all connections together, and what one of them, can carry. */
  readonly bytesPerMs: (ms: number) => number;
  readonly connectionBytesPerMs: number;
  /** Above so many connections the store refuses some. */
  readonly refusesAbove?: number;
}

const TICK_MS = 50;

/** Sends for so long over a simulated link whose rate is noisy; answers limit and rate of each tick. */
function simulate(rule: AdaptiveConcurrency, link: Link, seconds: number) {
  let random = 1;
  const noise = () => {
    random = (random * 16_807) % 2_147_483_647;
    return 0.95 + 0.1 * (random / 2_147_483_647);
  };
  const ticks: { limit: number; bytesPerMs: number }[] = [];
  for (let ms = 0; ms < seconds * 1_000; ms += TICK_MS) {
    const bytesPerMs = Math.min(link.bytesPerMs(ms), rule.limit * link.connectionBytesPerMs) * noise();
    ticks.push({ limit: rule.limit, bytesPerMs });
    if (rule.limit > (link.refusesAbove ?? Number.POSITIVE_INFINITY)) rule.failed(ms);
    rule.sent(bytesPerMs * TICK_MS, ms);
  }
  return ticks;
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('adaptive concurrency', () => {
  it('goes up to what a wide link carries, in seconds', () => {
    const link = { bytesPerMs: () => 100_000, connectionBytesPerMs: 5_000 };
    const ticks = simulate(new AdaptiveConcurrency(32), link, 60);
    const after10s = ticks.slice(10_000 / TICK_MS);
    expect(mean(after10s.map(({ bytesPerMs }) => bytesPerMs))).toBeGreaterThan(95_000);
  });

  it('stays low where one connection fills the link', () => {
    const link = { bytesPerMs: () => 1_250, connectionBytesPerMs: 10_000 };
    const ticks = simulate(new AdaptiveConcurrency(32), link, 120);
    expect(mean(ticks.map(({ limit }) => limit))).toBeLessThan(4.6);
    expect(Math.max(...ticks.map(({ limit }) => limit))).toBe(8);
  });

  it('halves when the store refuses, and carries more than half of what it takes', () => {
    const link = { bytesPerMs: () => 1_000_000, connectionBytesPerMs: 1_000, refusesAbove: 12 };
    const ticks = simulate(new AdaptiveConcurrency(32), link, 300);
    const limits = ticks.map(({ limit }) => limit);
    const failed = limits.findIndex((limit) => limit > 12);
    expect(limits[failed]).toBe(16);
    expect(limits[failed + 1]).toBe(8);
    expect(mean(limits.slice(failed))).toBeGreaterThan(7);
    expect(limits.filter((limit) => limit > 12).length / limits.length).toBeLessThan(0.02);
  });

  it('finds out when the link gets wider', () => {
    const link = { bytesPerMs: (ms: number) => (ms < 60_000 ? 8_000 : 40_000), connectionBytesPerMs: 2_000 };
    const ticks = simulate(new AdaptiveConcurrency(32), link, 240);
    expect(ticks.at(-1)?.bytesPerMs).toBeGreaterThan(36_000);
  });

  it('concludes nothing from times in which places were free', () => {
    const rule = new AdaptiveConcurrency(32);
    for (let ms = 0; ms < 60_000; ms += TICK_MS) {
      rule.sent(ms, ms);
      if (ms % 1_000 === 0) rule.idle();
    }
    expect(rule.limit).toBe(4);
  });

  it('stays from 1 to the maximum, whatever happens', () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant('sent'), bytes: fc.nat(10_000_000), ms: fc.nat(3_000) }),
      fc.record({ kind: fc.constantFrom('idle', 'failed'), bytes: fc.constant(0), ms: fc.nat(3_000) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.array(event, { maxLength: 300 }), (max, events) => {
        const rule = new AdaptiveConcurrency(max);
        let now = 0;
        for (const { kind, bytes, ms } of events) {
          now += ms;
          if (kind === 'sent') rule.sent(bytes, now);
          else if (kind === 'idle') rule.idle();
          else rule.failed(now);
          expect(rule.limit).toBeGreaterThanOrEqual(1);
          expect(rule.limit).toBeLessThanOrEqual(max);
        }
      }),
    );
  });
});

describe('part slots', () => {
  const never = new AbortController().signal;

  it('gives a free place to the file that has the fewest', async () => {
    const slots = new PartSlots(fixedConcurrency(2));
    const [large, small] = [{}, {}];
    const order: string[] = [];
    const take = async (name: string, owner: object) => {
      const release = await slots.acquire(owner, 1, never);
      order.push(name);
      return release;
    };
    const first = await take('large 1', large);
    await take('large 2', large);
    const waiting = [take('large 3', large), take('small 1', small)];
    first();
    await waiting[1];
    expect(order).toEqual(['large 1', 'large 2', 'small 1']);
  });

  it('bounds the bytes in flight, but lets one part through, however large', async () => {
    const slots = new PartSlots(fixedConcurrency(8), 100);
    const started: number[] = [];
    const take = async (bytes: number) => {
      const release = await slots.acquire({}, bytes, never);
      started.push(bytes);
      return release;
    };
    const large = await take(500);
    const both = [take(60), take(40), take(1)];
    expect(started).toEqual([500]);
    large();
    await Promise.all(both.slice(0, 2));
    expect(started).toEqual([500, 60, 40]);
    (await both[0])?.();
    await both[2];
    expect(started).toEqual([500, 60, 40, 1]);
  });

  it('gives no place to who was aborted while waiting', async () => {
    const slots = new PartSlots(fixedConcurrency(1));
    const release = await slots.acquire({}, 1, never);
    const stop = new AbortController();
    const aborted = slots.acquire({}, 1, stop.signal);
    const next = slots.acquire({}, 1, never);
    stop.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'AbortedError' });
    release();
    expect(await next).toBeTypeOf('function');
  });
});
