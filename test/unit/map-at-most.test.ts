import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mapAtMost } from '../../platform/ports/map-at-most.ts';

test('maps every item once, in order, with at most so many calls at a time', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.integer({ min: 1, max: 4 })),
      async (atOnce, turns) => {
        let running = 0;
        let most = 0;
        const results = await mapAtMost(atOnce, turns, async (count, index) => {
          running += 1;
          most = Math.max(most, running);
          for (let turn = 0; turn < count; turn += 1) await setImmediate();
          running -= 1;
          return `${index}: ${count}`;
        });
        expect(results).toEqual(turns.map((count, index) => `${index}: ${count}`));
        expect(most).toBe(Math.min(atOnce, turns.length));
      },
    ),
  );
});

test('begins nothing after a failure, and throws it when what was under way has ended', async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  const slow = Promise.withResolvers<void>();
  const all = mapAtMost(2, [1, 2, 3, 4], async (item) => {
    begun.push(item);
    if (item === 2) throw new Error('second');
    await slow.promise;
    ended.push(item);
  });
  const failed = expect(all).rejects.toThrow('second');
  await setImmediate();
  expect([begun, ended]).toEqual([[1, 2], []]);
  slow.resolve();
  await failed;
  expect([begun, ended]).toEqual([[1, 2], [1]]);
});
