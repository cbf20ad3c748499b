import { setTimeout } from 'node:timers/promises';

const POLL_MS = 250;

/** What one look has found. */
interface Look<Item> {
  readonly items: readonly Item[];
  /** Where the next request continues. */
  readonly cursor: string | undefined;
  /** Whether nothing more will ever come. */
  readonly ended?: boolean;
}

interface LongPollOptions {
  readonly waitSeconds: number;
  readonly pollMs?: number;
  /** Aborted when the client no longer waits for the answer. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Answers with what `look` finds: at once if it finds items or nothing more will come, else as soon as it does; with no
 * items when the time is up or nobody waits any more. `look` is called at least once.
 */
export async function longPoll<Item>(
  look: () => Promise<Look<Item>>,
  { waitSeconds, pollMs = POLL_MS, signal }: LongPollOptions,
): Promise<{ items: Item[]; next_cursor?: string }> {
  const deadline = performance.now() + waitSeconds * 1_000;
  for (;;) {
    const { items, cursor, ended } = await look();
    // Timers take whole milliseconds, and may be one early.
    const leftMs = deadline - performance.now();
    if (items.length > 0 || ended || leftMs < 1 || signal?.aborted)
      return { items: [...items], ...(cursor === undefined ? {} : { next_cursor: cursor }) };
    // An abort ends the pause, and the look after it is the last.
    await setTimeout(Math.min(pollMs, Math.ceil(leftMs)), undefined, { signal }).catch(() => undefined);
  }
}
