import type { DatabaseSync } from 'node:sqlite';

/** Databases in memory share their channels: a notice too many only has a feed look once more. */
function channelOf(database: DatabaseSync, changesTable: string): BroadcastChannel {
  return new BroadcastChannel(`${changesTable} ${database.location() ?? ':memory:'}`);
}

/** Tells the feeds of a table, in all threads of this process, that there are changes; once for all of one turn. */
export class ChangeNotices {
  readonly #database: DatabaseSync;
  readonly #changesTable: string;
  #pending = false;

  constructor(database: DatabaseSync, changesTable: string) {
    this.#database = database;
    this.#changesTable = changesTable;
  }

  /** To be called in the turn in which they are committed. */
  announce(): void {
    if (this.#pending) return;
    this.#pending = true;
    setImmediate(() => {
      this.#pending = false;
      // What is closed here ends the process's reasons to wait.
      if (!this.#database.isOpen) return;
      // A channel that stays open would have every thread woken by every notice.
      const channel = channelOf(this.#database, this.#changesTable);
      channel.postMessage(null);
      channel.close();
    });
  }
}

/** Calls `listener` soon after each commit of changes, until the function that it answers is called. */
export function onChangeNotice(database: DatabaseSync, changesTable: string, listener: () => void): () => void {
  const channel = channelOf(database, changesTable);
  channel.onmessage = listener;
  return () => channel.close();
}
