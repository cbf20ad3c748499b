import type { DatabaseSync } from 'node:sqlite';

/** Within one turn of the event loop notices would pile up: after one, the next waits for the end of the turn. */
const PAUSE_MS = 2;

/** Notifies the readers of a table's changes or of a queue, in all threads of this process, that there is something to read. */
export class ChangeNotices {
  readonly #channelName: string;
  #announcedAt = 0;
  #pending = false;

  constructor(database: DatabaseSync, changesTable: string) {
    this.#channelName = channelOf(database, changesTable);
  }

  /** To be called after the commit. */
  announce(): void {
    if (performance.now() - this.#announcedAt >= PAUSE_MS) this.#post();
    else if (!this.#pending) {
      this.#pending = true;
      setImmediate(() => this.#post());
    }
  }

  #post(): void {
    this.#pending = false;
    this.#announcedAt = performance.now();
    // One that stays open would have this thread woken by the notices of all others.
    const channel = new BroadcastChannel(this.#channelName);
    channel.postMessage(null);
    channel.close();
  }
}

/** Calls `listener` soon after each commit of changes, until the function that it answers is called. */
export function onChangeNotice(database: DatabaseSync, changesTable: string, listener: () => void): () => void {
  const channel = new BroadcastChannel(channelOf(database, changesTable));
  channel.onmessage = listener;
  return () => channel.close();
}

/** Databases in memory share their channels: a notice too many only has a feed look once more. */
function channelOf(database: DatabaseSync, changesTable: string): string {
  return `${changesTable} ${database.location() ?? ':memory:'}`;
}
