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

/**
 * Reads the header `Retry-After`, seconds or a date (RFC 9110, 10.2.3), as seconds from `now`; undefined if there is none, or
 * it is neither.
 */
export function readRetryAfter(value: string | null | undefined, now = Date.now()): number | undefined {
  if (!value) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1_000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}
