import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs, readRetryAfter } from '../../contract/backoff.ts';

test('the longest pause doubles from failure to failure, up to a bound', () => {
  const longest = [1, 2, 3, 4, 5, 10_000].map((failures) =>
    backoffMs(failures, { firstMs: 100, longestMs: 1_000 }, () => 1),
  );
  expect(longest).toEqual([100, 200, 400, 800, 1_000, 1_000]);
});

test('a pause is drawn evenly from zero to its bound', () => {
  for (const drawn of [0, 0.25, 0.999]) {
    expect(backoffMs(3, { firstMs: 100, longestMs: 1_000 }, () => drawn)).toBe(400 * drawn);
  }
  const bounds = { firstMs: 100, longestMs: 60_000 };
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), (failures) => {
      const pause = backoffMs(failures, bounds);
      expect(pause).toBeGreaterThanOrEqual(0);
      expect(pause).toBeLessThan(60_000);
    }),
  );
});

test('Retry-After is read as seconds or as a date, and anything else is none', () => {
  const now = Date.parse('2026-01-31T08:00:00Z');
  const read = [
    '120',
    '0',
    'Sat, 31 Jan 2026 08:00:30 GMT',
    'Sat, 31 Jan 2026 07:00:00 GMT',
    'soon',
    '',
    null,
    undefined,
  ];
  expect(read.map((value) => readRetryAfter(value, now))).toEqual([
    120,
    0,
    30,
    0,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
