import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs } from '../../contract/backoff.ts';
import type { Log } from '../ports/log.ts';
import type { Value } from '../ports/table.ts';
import { orBusy } from './open-database.ts';

const AT_ONCE = 8;
/** Of the pauses after failures of one delivery. */
const BACKOFF = { firstMs: 200, longestMs: 60_000 };

/**
 * Messages to one consumer, kept in SQLite until it has taken them: at least once, in no particular order. One that
 * failed is tried again with backoff; after `maxTries` it stays in the table `deliveries` as a dead letter.
 */
export class Deliveries {
  readonly #queue: string;
  readonly #maxTries: number;
  readonly #log: Log;
  readonly #inFlight = new Map<string, Promise<void>>();
  readonly #sql: ReturnType<typeof prepareStatements>;
  /** While it is started. */
  #deliver: ((body: Value) => Promise<void>) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    database: DatabaseSync;
    queue: string;
    maxTries?: number;
    log: Log;
  }) {
    this.#queue = options.queue;
    this.#maxTries = options.maxTries ?? Number.POSITIVE_INFINITY;
    this.#log = options.log;
    this.#sql = prepareStatements(options.database);
  }

  /** Durable when it returns, or when the transaction around it commits. A message that waits already is not put again. */
  put(id: string, body: Value): void {
    orBusy(() => this.#sql.put.run(this.#queue, id, JSON.stringify(body), Date.now()));
    setImmediate(() => this.#pump());
  }

  start(deliver: (body: Value) => Promise<void>): void {
    this.#deliver = deliver;
    this.#pump();
  }

  /** Begins no more deliveries and waits for those that run. */
  async stop(): Promise<void> {
    this.#deliver = undefined;
    clearTimeout(this.#timer);
    await Promise.all(this.#inFlight.values());
  }

  /** Waits until nothing is left but dead letters. */
  async drain(): Promise<void> {
    while (this.#deliver && this.#nextDue() !== undefined) {
      await (this.#inFlight.size > 0 ? Promise.race(this.#inFlight.values()) : pause(BACKOFF.firstMs / 4));
    }
  }

  #pump(): void {
    const deliver = this.#deliver;
    if (!deliver) return;
    clearTimeout(this.#timer);
    const now = Date.now();
    // Those in flight are among the oldest due: this many rows hold enough others.
    const due = this.#sql.due.all(this.#queue, now, 2 * AT_ONCE) as unknown as Delivery[];
    for (const delivery of due) {
      if (this.#inFlight.size >= AT_ONCE) return;
      if (!this.#inFlight.has(delivery.id)) this.#begin(delivery, deliver);
    }
    const next = this.#nextDue(now);
    if (next !== undefined) this.#timer = setTimeout(() => this.#pump(), next - now);
  }

  #begin(delivery: Delivery, deliver: (body: Value) => Promise<void>): void {
    const done = this.#try(delivery, deliver)
      .catch((error) => {
        this.#log.error('the outcome of a delivery could not be stored', {
          queue: this.#queue,
          id: delivery.id,
          error,
        });
        return pause(BACKOFF.firstMs);
      })
      .finally(() => {
        this.#inFlight.delete(delivery.id);
        this.#pump();
      });
    this.#inFlight.set(delivery.id, done);
  }

  async #try({ id, body, tries }: Delivery, deliver: (body: Value) => Promise<void>): Promise<void> {
    try {
      await deliver(JSON.parse(body));
      this.#sql.remove.run(this.#queue, id);
    } catch (error) {
      const failures = tries + 1;
      const dead = failures >= this.#maxTries;
      const pauseMs = backoffMs(failures, BACKOFF);
      this.#sql.failed.run(failures, Math.ceil(Date.now() + pauseMs), dead ? 1 : 0, String(error), this.#queue, id);
      this.#log.error(dead ? 'delivery given up' : 'delivery failed', { queue: this.#queue, id, failures, error });
    }
  }

  /** When the next one after `after` is due. */
  #nextDue(after = 0): number | undefined {
    const row = this.#sql.next.get(this.#queue, after);
    return row ? Number(row.due_at) : undefined;
  }
}

interface Delivery {
  readonly id: string;
  readonly body: string;
  readonly tries: number;
}

function prepareStatements(database: DatabaseSync) {
  database.exec(`
    CREATE TABLE IF NOT EXISTS deliveries (
      queue TEXT NOT NULL,
      id TEXT NOT NULL,
      body TEXT NOT NULL,
      tries INTEGER NOT NULL DEFAULT 0,
      due_at INTEGER NOT NULL,
      dead INTEGER NOT NULL DEFAULT 0,
      error TEXT,
      PRIMARY KEY (queue, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (queue, due_at) WHERE dead = 0;
  `);
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    put: prepare('INSERT OR IGNORE INTO deliveries (queue, id, body, due_at) VALUES (?, ?, ?, ?)'),
    due: prepare(
      'SELECT id, body, tries FROM deliveries WHERE queue = ? AND dead = 0 AND due_at <= ? ORDER BY due_at LIMIT ?',
    ),
    next: prepare('SELECT due_at FROM deliveries WHERE queue = ? AND dead = 0 AND due_at > ? ORDER BY due_at LIMIT 1'),
    remove: prepare('DELETE FROM deliveries WHERE queue = ? AND id = ?'),
    failed: prepare('UPDATE deliveries SET tries = ?, due_at = ?, dead = ?, error = ? WHERE queue = ? AND id = ?'),
  };
}
