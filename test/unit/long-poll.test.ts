import { describe, expect, test } from 'vitest';
import { longPoll } from '../../lambdas/runtime/long-poll.ts';

/** Finds nothing until the nth look. */
function findAt(n: number, ended = false) {
  const look = {
    count: 0,
    run: async () => {
      look.count += 1;
      const found = look.count >= n;
      return { items: found && !ended ? ['event'] : [], cursor: found ? '2' : '1', ended: found && ended };
    },
  };
  return look;
}

describe('a long poll', () => {
  test('answers with what is there at once, and where the next one continues', async () => {
    const look = findAt(1);
    expect(await longPoll(look.run, { waitSeconds: 20 })).toEqual({ items: ['event'], next_cursor: '2' });
    expect(look.count).toBe(1);
  });

  test('looks again until there is something', async () => {
    const look = findAt(3);
    expect(await longPoll(look.run, { waitSeconds: 20, pollMs: 1 })).toEqual({ items: ['event'], next_cursor: '2' });
    expect(look.count).toBe(3);
  });

  test('ends early when nothing more will come', async () => {
    const look = findAt(2, true);
    expect(await longPoll(look.run, { waitSeconds: 20, pollMs: 1 })).toEqual({ items: [], next_cursor: '2' });
  });

  test('answers without items when the time is up, after a last look at its end', async () => {
    const look = findAt(Number.POSITIVE_INFINITY);
    expect(await longPoll(look.run, { waitSeconds: 0.02, pollMs: 10_000 })).toEqual({ items: [], next_cursor: '1' });
    expect(look.count).toBe(2);
    expect(await longPoll(look.run, { waitSeconds: 0 })).toEqual({ items: [], next_cursor: '1' });
    expect(look.count).toBe(3);
  });

  test('names no cursor before there is one', async () => {
    const look = async () => ({ items: [], cursor: undefined });
    expect(await longPoll(look, { waitSeconds: 0 })).toEqual({ items: [] });
  });

  test('ends when the client has gone', async () => {
    const client = new AbortController();
    const look = findAt(Number.POSITIVE_INFINITY);
    const answer = longPoll(look.run, { waitSeconds: 3_600, pollMs: 3_600_000, signal: client.signal });
    setImmediate(() => client.abort());
    expect(await answer).toEqual({ items: [], next_cursor: '1' });
    expect(look.count).toBe(2);
  });
});
