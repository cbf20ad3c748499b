import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JOB_STATES } from '../../contract/choices.ts';
import type { JobState } from '../../contract/jobs.ts';
import { hasEnded, holdsSlot, nextState, TRANSITION_NAMES, timestampOf } from '../../lambdas/jobs/transitions.ts';

const all = JOB_STATES.flatMap((state) => TRANSITION_NAMES.map((transition) => ({ state, transition })));
const allowed = all.flatMap(({ state, transition }) => {
  const to = nextState(state, transition);
  return to ? [{ from: state, transition, to }] : [];
});

describe('transitions of a job (T9)', () => {
  test('are exactly these, every other of all states × events is refused', () => {
    expect(allowed.map(({ from, transition, to }) => `${from} ${transition} ${to}`).sort()).toEqual([
      'cancelled retry queued',
      'cancelling finish_cancel cancelled',
      'creating cancel cancelled',
      'creating drop failed',
      'creating queue queued',
      'failed retry queued',
      'queued admit running',
      'queued cancel cancelled',
      'running cancel cancelling',
      'running complete completed',
      'running continue running',
      'running fail failed',
      'running requeue queued',
    ]);
  });

  test('leave an ended state by a retry only, and completed never', () => {
    const leaving = allowed.filter(({ from }) => hasEnded(from));
    expect(leaving.every(({ transition, to }) => transition === 'retry' && to === 'queued')).toBe(true);
    expect(leaving.some(({ from }) => from === 'completed')).toBe(false);
  });

  test('are each noted by the time at which the job came to its state', () => {
    expect(Object.fromEntries(JOB_STATES.map((state) => [state, timestampOf(state)]))).toEqual({
      creating: 'created_at',
      queued: 'queued_at',
      running: 'started_at',
      cancelling: 'cancelling_at',
      completed: 'completed_at',
      failed: 'failed_at',
      cancelled: 'cancelled_at',
    });
  });

  test('take a slot by admission only', () => {
    const taking = allowed.filter(({ from, to }) => !holdsSlot(from) && holdsSlot(to));
    expect(taking.map(({ transition }) => transition)).toEqual(['admit']);
  });

  test('never miscount, whatever events come, again or in another order', () => {
    const events = fc.array(fc.constantFrom(...TRANSITION_NAMES), { maxLength: 60 });
    fc.assert(
      fc.property(events, (sequence) => {
        let state: JobState = 'creating';
        let slots = 0;
        const ended = { completed: 0, failed: 0, cancelled: 0 };
        for (const event of sequence) {
          const to = nextState(state, event);
          if (!to) continue;
          if (hasEnded(state)) expect(event).toBe('retry');
          slots += Number(holdsSlot(to)) - Number(holdsSlot(state));
          if (state in ended) ended[state as keyof typeof ended] -= 1;
          if (to in ended) ended[to as keyof typeof ended] += 1;
          state = to;
          expect(slots).toBe(state === 'running' || state === 'cancelling' ? 1 : 0);
          expect(Object.values(ended).reduce((sum, count) => sum + count)).toBe(hasEnded(state) ? 1 : 0);
        }
        // Events that were refused change nothing when they come again.
        expect(nextState('completed', sequence.at(-1) ?? 'retry')).toBeUndefined();
      }),
      { numRuns: Number(process.env.PROPERTY_RUNS ?? 1_000) },
    );
  });

  test('let every state that has not ended come to an end', () => {
    const ends = new Set<string>(JOB_STATES.filter(hasEnded));
    for (let round = 0; round < JOB_STATES.length; round += 1)
      for (const { from, to } of allowed) if (ends.has(to)) ends.add(from);
    expect([...ends].sort()).toEqual([...JOB_STATES].sort());
  });
});
