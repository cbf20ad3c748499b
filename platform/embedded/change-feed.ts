import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs } from '../../contract/backoff.ts';
import type { Log } from '../ports/log.ts';
import type { Change, ChangeConsumer, Item } from '../ports/table.ts';
import { onChangeNotice } from './change-notices.ts';
import { inLazyTransaction, inTransaction, orBusy } from './open-database.ts';
import { changesTableOf } from './sqlite-table.ts';

const MAX_BATCH_SIZE = 100;
/** Of 2^53. */
const SEQ_DIGITS = 16;
/** Changes are noticed when they are committed; this finds those of other processes. */
const POLL_EVERY_MS = 1_000;
/** Between batches, so that one transaction notes the delivery of many changes, and tasks find the database unlocked. */
const GATHER_MS = 5;
/** Of the pauses after failures in a row of one change. */
const BACKOFF = { firstMs: 200, longestMs: 60_000 };
/** 6 minutes of pauses on average, at most 12; then the change is given up, as it holds up all that follow. */
const MAX_TRIES = 20;

/**
 * Delivers the changes of a `SqliteTable` that keeps them, all in the order of their commits, to each consumer at its
 * own pace and at least once. How far a consumer is, is kept in the database; what all of them have is deleted there.
 * A batch that fails is tried again with backoff, in halves down to one change. One that fails again and again is
 * logged, kept in the table `dead_changes`, and passed over.
 */
export class ChangeFeed {
  readonly #database: DatabaseSync;
  readonly #changesTable: string;
  readonly #deliveries: readonly Delivery[];
  #stopListening: (() => void) | undefined;
  #poll: NodeJS.Timeout | undefined;
  #stopping = new AbortController();

  /** `table`: the name of a `SqliteTable` that is there. A consumer keeps its place by its name. */
  constructor(options: {
    database: DatabaseSync;
    table: string;
    consumers: Readonly<Record<string, ChangeConsumer>>;
    maxTries?: number;
    log: Log;
  }) {
    const { database, consumers, maxTries = MAX_TRIES, log } = options;
    this.#database = database;
    this.#changesTable = changesTableOf(options.table);
    const store = new ChangeStore(database, this.#changesTable, Object.keys(consumers));
    this.#deliveries = Object.entries(consumers).map(
      ([name, consumer]) => new Delivery({ store, name, consumer, maxTries, log }),
    );
  }

  start(): void {
    if (this.#poll) return;
    const pump = () => void this.#pump();
    this.#stopListening = onChangeNotice(this.#database, this.#changesTable, pump);
    this.#poll = setInterval(pump, POLL_EVERY_MS);
    pump();
  }

  /** Begins no more deliveries and waits for those that run; the other changes are kept. */
  async stop(): Promise<void> {
    this.#stopListening?.();
    clearInterval(this.#poll);
    this.#poll = undefined;
    this.#stopping.abort();
    this.#stopping = new AbortController();
    await Promise.all(this.#deliveries.map((delivery) => delivery.ended()));
  }

  /** Delivers until nothing is left, started or not; it waits through failures, but ends when the feed is stopped. */
  async drain(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && this.#deliveries.some((delivery) => delivery.hasChanges())) await this.#pump();
  }

  async #pump(): Promise<void> {
    const { signal } = this.#stopping;
    await Promise.all(this.#deliveries.map((delivery) => delivery.pump(signal)));
  }
}

/** What one consumer gets, batch by batch. */
class Delivery {
  readonly #store: ChangeStore;
  readonly #name: string;
  readonly #consumer: ChangeConsumer;
  readonly #maxTries: number;
  readonly #log: Log;
  #running: Promise<void> | undefined;
  #batchSize = MAX_BATCH_SIZE;
  /** Of the next change, delivered alone. */
  #failures = 0;

  constructor(options: {
    store: ChangeStore;
    name: string;
    consumer: ChangeConsumer;
    maxTries: number;
    log: Log;
  }) {
    this.#store = options.store;
    this.#name = options.name;
    this.#consumer = options.consumer;
    this.#maxTries = options.maxTries;
    this.#log = options.log;
  }

  hasChanges(): boolean {
    return this.#store.next(this.#name, 1).length > 0;
  }

  /** Resolves when nothing is left, or when the signal came and the present delivery has ended. */
  pump(signal: AbortSignal): Promise<void> {
    this.#running ??= this.#deliverAll(signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async #deliverAll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (!(await this.#deliverNext())) return;
        await pause(GATHER_MS, undefined, { signal }).catch(() => {});
      } catch (error) {
        this.#log.error('changes not delivered', { consumer: this.#name, failures: this.#failures, error });
        await pause(backoffMs(Math.max(1, this.#failures), BACKOFF), undefined, { signal }).catch(() => {});
      }
    }
  }

  /** False if there is nothing to deliver. */
  async #deliverNext(): Promise<boolean> {
    const changes = this.#store.next(this.#name, this.#batchSize);
    const [first] = changes;
    if (!first) return false;
    try {
      await this.#deliver(changes);
      this.#batchSize = Math.min(MAX_BATCH_SIZE, 2 * this.#batchSize);
    } catch (error) {
      if (changes.length > 1) this.#batchSize = Math.ceil(changes.length / 2);
      else this.#countFailure(first, error);
      throw error;
    }
    return true;
  }

  async #deliver(changes: readonly Change[]): Promise<void> {
    const outcome = await this.#consumer(changes);
    const taken = outcome ? changes.findIndex(({ seq }) => seq === outcome.retryFrom) : changes.length;
    if (taken === -1) throw new Error(`the batch has no change ${outcome?.retryFrom}`);
    const last = changes[taken - 1];
    if (last) this.#advance(last);
    if (outcome) throw new Error(`the consumer wants the changes from ${outcome.retryFrom} on again`);
  }

  #countFailure(change: Change, error: unknown): void {
    this.#failures += 1;
    if (this.#failures < this.#maxTries) return;
    this.#store.giveUp(this.#name, change, error);
    this.#log.error('change given up', { consumer: this.#name, ...change.key, seq: change.seq, error });
    this.#advance(change);
  }

  #advance(change: Change): void {
    this.#store.advance(this.#name, change);
    this.#failures = 0;
  }
}

/** The changes kept, and how far each consumer is. */
class ChangeStore {
  readonly #database: DatabaseSync;
  readonly #changesTable: string;
  readonly #next: StatementSync;
  readonly #advance: StatementSync;
  readonly #trim: StatementSync;
  readonly #giveUp: StatementSync;

  constructor(database: DatabaseSync, changesTable: string, consumers: readonly string[]) {
    this.#database = database;
    this.#changesTable = changesTable;
    inTransaction(database, () => {
      database.exec(`
        CREATE TABLE IF NOT EXISTS change_cursors (
          changes TEXT NOT NULL, consumer TEXT NOT NULL, seq INTEGER NOT NULL,
          PRIMARY KEY (changes, consumer)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS dead_changes (
          changes TEXT NOT NULL, consumer TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, error TEXT NOT NULL,
          PRIMARY KEY (changes, consumer, seq)
        ) STRICT, WITHOUT ROWID;`);
      this.#registerConsumers(consumers);
    });
    this.#next = database.prepare(`
      SELECT seq, before, after FROM ${changesTable}
      WHERE seq > (SELECT seq FROM change_cursors WHERE changes = ? AND consumer = ?)
      ORDER BY seq LIMIT ?`);
    this.#advance = database.prepare('UPDATE change_cursors SET seq = ? WHERE changes = ? AND consumer = ?');
    this.#trim = database.prepare(
      `DELETE FROM ${changesTable} WHERE seq <= (SELECT min(seq) FROM change_cursors WHERE changes = ?)`,
    );
    this.#giveUp = database.prepare('INSERT OR REPLACE INTO dead_changes VALUES (?, ?, ?, ?, ?)');
  }

  /** A new consumer begins with what is still kept; one that is no more holds up no deletion. */
  #registerConsumers(consumers: readonly string[]): void {
    const names = JSON.stringify(consumers);
    this.#database
      .prepare('DELETE FROM change_cursors WHERE changes = ? AND consumer NOT IN (SELECT value FROM json_each(?))')
      .run(this.#changesTable, names);
    this.#database
      .prepare('INSERT OR IGNORE INTO change_cursors SELECT ?, value, 0 FROM json_each(?)')
      .run(this.#changesTable, names);
  }

  next(consumer: string, limit: number): Change[] {
    return this.#next.all(this.#changesTable, consumer, limit).map(({ seq, before, after }) => {
      const images = { ...imageOf('before', before), ...imageOf('after', after) };
      const { pk, sk } = (images.after ?? images.before) as Item;
      return { seq: String(seq).padStart(SEQ_DIGITS, '0'), key: { pk, sk }, ...images };
    });
  }

  /** The consumer has the changes up to this one; if that is lost, it gets some of them again. */
  advance(consumer: string, change: Change): void {
    inLazyTransaction(this.#database, () => {
      this.#advance.run(Number(change.seq), this.#changesTable, consumer);
      this.#trim.run(this.#changesTable);
    });
  }

  giveUp(consumer: string, change: Change, error: unknown): void {
    const values = [this.#changesTable, consumer, Number(change.seq), JSON.stringify(change), String(error)];
    orBusy(() => this.#giveUp.run(...values));
  }
}

function imageOf(name: 'before' | 'after', body: SQLOutputValue | undefined): { before?: Item; after?: Item } {
  return body === null ? {} : { [name]: JSON.parse(String(body)) };
}
