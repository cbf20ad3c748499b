import { JOB_STATES } from '../../contract/choices.ts';
import type { JobState } from '../../contract/jobs.ts';

/**
 * Where each event takes a job; an event that is not listed for a state is refused there.
 *
 *     creating ──queue──► queued ──admit──► running ──complete──► completed
 *        │ │                │ ▲              │ │ │ ▲
 *        │ └──cancel──┐     │ │              │ │ └─┘ continue (the next run of the same attempt)
 *        │            │     │ └──requeue─────┘ │
 *       drop          │   cancel               ├──fail──► failed ──retry──► queued
 *        ▼            ▼     ▼                  │
 *      failed       cancelled ──retry──► queued└──cancel──► cancelling ──finish_cancel──► cancelled
 *
 * `requeue` is an automatic retry, `retry` one by hand: both begin a new attempt. `drop`: its workflow is gone.
 */
const TRANSITIONS = {
  queue: { creating: 'queued' },
  drop: { creating: 'failed' },
  admit: { queued: 'running' },
  continue: { running: 'running' },
  complete: { running: 'completed' },
  fail: { running: 'failed' },
  requeue: { running: 'queued' },
  cancel: { creating: 'cancelled', queued: 'cancelled', running: 'cancelling' },
  finish_cancel: { cancelling: 'cancelled' },
  retry: { failed: 'queued', cancelled: 'queued' },
} as const satisfies Record<string, Partial<Record<JobState, JobState>>>;

export type Transition = keyof typeof TRANSITIONS;
export const TRANSITION_NAMES = Object.keys(TRANSITIONS) as Transition[];

/** The state that `transition` leads to from `state`; undefined if it is refused there. */
export function nextState(state: JobState, transition: Transition): JobState | undefined {
  const targets: Partial<Record<JobState, JobState>> = TRANSITIONS[transition];
  return targets[state];
}

/** An ended job changes no more, unless it is retried. */
export function hasEnded(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

/** Whether a job in this state counts against its tenant's limit. */
export function holdsSlot(state: JobState): boolean {
  return state === 'running' || state === 'cancelling';
}

/** The `*_at` of every state that a new attempt has not reached yet. */
export const LATER_TIMESTAMPS = JOB_STATES.filter((state) => state !== 'creating' && state !== 'queued').map(
  timestampOf,
);

/** The attribute that tells when a job reached a state. */
export function timestampOf(state: JobState): string {
  if (state === 'creating') return 'created_at';
  return state === 'running' ? 'started_at' : `${state}_at`;
}
