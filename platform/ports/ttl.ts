/** The `ttl` of an item that is of use until `seconds` after `from` (a time, or epoch milliseconds): epoch seconds, never too early. */
export function ttlAfter(from: Date | number, seconds = 0): number {
  return Math.ceil(Number(from) / 1_000) + seconds;
}
