import type { CallOptions } from '../api.ts';

/** A connection that is gone for longer than this ends a watch. */
export const WATCH_RETRY_SECONDS = 300;

export interface WatchOptions {
  /** The cursor of the last event seen; from the beginning when left out. */
  readonly after?: string;
  /** Ends the watch with `AbortedError`; what is watched goes on. */
  readonly signal?: AbortSignal;
  readonly onRetry?: CallOptions['onRetry'];
}
