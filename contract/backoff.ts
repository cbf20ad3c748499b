/** How long pauses between tries may become, in milliseconds. */
export interface Backoff {
  /** The longest that the pause after a first failure may be; it doubles with each further one. */
  readonly firstMs: number;
  /** The longest that any pause may be. */
  readonly longestMs: number;
}

/**
 * Draws the pause before the next try, in milliseconds, after `failures` failures in a row (1 or more): evenly from zero to
 * `firstMs` × 2^(`failures` − 1), at most `longestMs`. This is "full jitter": callers that failed together do not come back
 * together, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. On average a pause is half its bound.
 *
 * @example
 * await setTimeout(backoffMs(failures, { firstMs: 250, longestMs: 10_000 }));
 */
export function backoffMs(failures: number, { firstMs, longestMs }: Backoff, random = Math.random): number {
  return random() * Math.min(longestMs, firstMs * 2 ** (failures - 1));
}
