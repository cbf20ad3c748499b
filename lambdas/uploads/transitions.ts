import type { UploadState } from '../../contract/uploads.ts';

/**
 * Where each event takes a session; an event that is not listed for a state is refused there.
 *
 *     open ──begin──► completing ──finish──► completed
 *      │ ▲              │ │
 *      │ └────reopen────┘ └──reject──► rejected
 *      ├──abort───► aborted
 *      └──expire──► expired
 *
 * `begin`: all parts are there as they should be. `reopen`: they changed before the object was made, and are still there.
 * `reject`: the object is made, and is not what was declared; or its bytes are gone.
 */
const TRANSITIONS = {
  begin: { open: 'completing' },
  finish: { completing: 'completed' },
  reopen: { completing: 'open' },
  reject: { completing: 'rejected' },
  abort: { open: 'aborted' },
  expire: { open: 'expired' },
} as const satisfies Record<string, Partial<Record<UploadState, UploadState>>>;

export type Transition = keyof typeof TRANSITIONS;
export const TRANSITION_NAMES = Object.keys(TRANSITIONS) as Transition[];

/** The state that `transition` leads to from `state`; undefined if it is refused there. */
export function nextState(state: UploadState, transition: Transition): UploadState | undefined {
  const targets: Partial<Record<UploadState, UploadState>> = TRANSITIONS[transition];
  return targets[state];
}

/** Whether the session is over, and its bytes either a file's or of no more use. */
export function hasEnded(state: UploadState): boolean {
  return state === 'completed' || hasFailed(state);
}

/** Whether the session has ended without a file: nothing of it is to stay in the object store. */
export function hasFailed(state: UploadState): boolean {
  return state === 'aborted' || state === 'expired' || state === 'rejected';
}
