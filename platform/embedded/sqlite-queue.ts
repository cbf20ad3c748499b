import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs } from '../../contract/backoff.ts';
import type { Log } from '../ports/log.ts';
import type { Queue, QueueConsumer, QueueMessage } from '../ports/queue.ts';
import { failedIn, MAX_BATCH_MESSAGES, messageText } from '../ports/queue-bounds.ts';
import { ChangeNotices, onChangeNotice } from './change-notices.ts';
import { inLazyTransaction, inTransaction, orBusy } from './open-database.ts';

const BATCHES_AT_ONCE = 4;
/** A consumer renews its claim on a batch at a third of this; when its process dies, another one gets the batch then. */
const VISIBILITY_MS = 10_000;
/** Sends are noticed when they are committed; this finds those of other processes. */
const POLL_EVERY_MS = 1_000;
/** Of the pauses after failures of one message. */
const BACKOFF = { firstMs: 200, longestMs: 60_000 };
/** 6 minutes of pauses on average, at most 12; then the message is a dead letter. */
const MAX_RECEIVES = 20;

/**
 * A `Queue` in SQLite. Any number of threads and processes may send to it and consume it; each message goes to one
 * consumer at a time. A message that fails is delivered again after a pause with full jitter; after `maxReceives`
 * deliveries it stays in the table `queue_messages` as a dead letter.
 */
export class SqliteQueue implements Queue {
  readonly #database: DatabaseSync;
  readonly #name: string;
  readonly #store: MessageStore;
  readonly #notices: ChangeNotices;
  readonly #log: Log;
  readonly #visibilityMs: number;
  readonly #running = new Set<Promise<void>>();
  #consumer: QueueConsumer | undefined;
  #stopListening: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    database: DatabaseSync;
    name: string;
    maxReceives?: number;
    visibilityMs?: number;
    log: Log;
  }) {
    const { database, name, maxReceives = MAX_RECEIVES, visibilityMs = VISIBILITY_MS, log } = options;
    this.#database = database;
    this.#name = name;
    this.#store = new MessageStore(database, { queue: name, maxReceives, visibilityMs });
    this.#notices = new ChangeNotices(database, channelOf(name));
    this.#visibilityMs = visibilityMs;
    this.#log = log;
  }

  async send(messages: readonly QueueMessage[]): Promise<void> {
    if (messages.length === 0) return;
    this.#store.add(messages.map((message) => ({ id: message.id, body: messageText(message) })));
    this.#notices.announce();
  }

  /** Begins to deliver to this consumer, until `stop`. */
  start<Message extends QueueMessage>(consumer: QueueConsumer<Message>): void {
    if (this.#consumer) throw new Error(`the queue ${this.#name} has a consumer here already`);
    // What was sent is trusted to be what the consumer takes.
    this.#consumer = consumer as unknown as QueueConsumer;
    this.#stopListening = onChangeNotice(this.#database, channelOf(this.#name), () => this.#pump());
    this.#pump();
  }

  /** Begins no more deliveries and waits for those that run; the other messages stay stored. */
  async stop(): Promise<void> {
    this.#consumer = undefined;
    this.#stopListening?.();
    clearTimeout(this.#timer);
    await Promise.all(this.#running);
  }

  /** Delivers until nothing is left but dead letters, or until the queue is stopped. */
  async drain(): Promise<void> {
    while (this.#consumer && this.#store.nextVisibleAt() !== undefined)
      await (this.#running.size > 0 ? Promise.race(this.#running) : pause(BACKOFF.firstMs / 4));
  }

  #pump(): void {
    clearTimeout(this.#timer);
    let nextMs = POLL_EVERY_MS;
    try {
      while (this.#consumer && this.#running.size < BATCHES_AT_ONCE && this.#beginBatch(this.#consumer));
      nextMs = Math.min(
        POLL_EVERY_MS,
        (this.#store.nextVisibleAt(Date.now()) ?? Number.POSITIVE_INFINITY) - Date.now(),
      );
    } catch (error) {
      this.#log.error('messages were not received', { queue: this.#name, error });
    }
    if (this.#consumer) this.#timer = setTimeout(() => this.#pump(), nextMs);
  }

  /** False if no message is visible. */
  #beginBatch(consumer: QueueConsumer): boolean {
    const { batch, dead } = this.#store.receive();
    // Their last consumer has died, or lost its claim.
    for (const { id } of dead) this.#log.error('a message is a dead letter', { queue: this.#name, id });
    if (batch.length === 0) return false;
    const run = this.#deliver(consumer, batch).finally(() => {
      this.#running.delete(run);
      if (this.#consumer) this.#pump();
    });
    this.#running.add(run);
    return true;
  }

  async #deliver(consumer: QueueConsumer, batch: readonly Received[]): Promise<void> {
    const renewal = setInterval(() => this.#renew(batch), this.#visibilityMs / 3);
    try {
      const { failed, error } = await consume(consumer, batch);
      const done = batch.filter((received) => !failed.includes(received));
      const dead = this.#store.settle({ done, failed, error });
      if (failed.length > 0)
        this.#log.error('messages were not consumed', { queue: this.#name, failed: failed.length, error });
      for (const { message } of dead)
        this.#log.error('a message is a dead letter', { queue: this.#name, id: message.id });
    } catch (error) {
      // Their claim lapses, and they are delivered again.
      this.#log.error('the outcome of a delivery was not stored', { queue: this.#name, error });
    } finally {
      clearInterval(renewal);
    }
  }

  #renew(batch: readonly Received[]): void {
    try {
      this.#store.renew(batch);
    } catch (error) {
      this.#log.warn('a claim was not renewed', { queue: this.#name, error });
    }
  }
}

function channelOf(queue: string): string {
  return `queue_${queue}`;
}

async function consume(
  consumer: QueueConsumer,
  batch: readonly Received[],
): Promise<{ failed: readonly Received[]; error?: unknown }> {
  try {
    const outcome = await consumer(batch.map(({ message }) => message));
    const retry = outcome?.retry ?? [];
    return { failed: failedIn(batch, retry), ...(retry.length > 0 ? { error: 'the consumer wants it again' } : {}) };
  } catch (error) {
    return { failed: batch, error };
  }
}

interface Received {
  readonly seq: number;
  readonly message: QueueMessage;
  /** How often it was delivered, this time included. */
  readonly receives: number;
  /** Of this delivery: a later one has another. */
  readonly receipt: string;
}

/** The messages of one queue. A message is visible from `visible_at` on; a delivery claims it by moving that. */
class MessageStore {
  readonly #database: DatabaseSync;
  readonly #queue: string;
  readonly #maxReceives: number;
  readonly #visibilityMs: number;
  readonly #sql: ReturnType<typeof prepareStatements>;

  constructor(database: DatabaseSync, options: { queue: string; maxReceives: number; visibilityMs: number }) {
    this.#database = database;
    this.#queue = options.queue;
    this.#maxReceives = options.maxReceives;
    this.#visibilityMs = options.visibilityMs;
    this.#sql = prepareStatements(database);
  }

  add(messages: readonly { id: string; body: string }[]): void {
    const now = Date.now();
    inTransaction(this.#database, () => {
      for (const { id, body } of messages) this.#sql.add.run(this.#queue, id, body, now);
    });
  }

  /** Claims the messages that have waited longest, and makes dead letters of those whose last delivery had no outcome. */
  receive(): { batch: readonly Received[]; dead: readonly { readonly id: string }[] } {
    const now = Date.now();
    const next = this.nextVisibleAt();
    if (next === undefined || next > now) return { batch: [], dead: [] };
    const receipt = randomUUID();
    // What a power failure undoes is delivered again.
    return inLazyTransaction(this.#database, () => {
      const dead = this.#sql.bury.all(this.#queue, now, this.#maxReceives).map(({ id }) => ({ id: String(id) }));
      const rows = this.#sql.claim.all(now + this.#visibilityMs, receipt, this.#queue, now, MAX_BATCH_MESSAGES);
      const batch = rows.map(({ seq, body, receives }) => {
        return { seq: Number(seq), message: JSON.parse(String(body)), receives: Number(receives), receipt };
      });
      return { batch, dead };
    });
  }

  renew(batch: readonly Received[]): void {
    inLazyTransaction(this.#database, () => {
      for (const { seq, receipt } of batch) this.#sql.renew.run(Date.now() + this.#visibilityMs, seq, receipt);
    });
  }

  /** Deletes what is done, delays what failed; answers what became a dead letter. */
  settle(outcome: { done: readonly Received[]; failed: readonly Received[]; error?: unknown }): readonly Received[] {
    const { done, failed, error } = outcome;
    const dead = failed.filter(({ receives }) => receives >= this.#maxReceives);
    inLazyTransaction(this.#database, () => {
      for (const { seq, receipt } of done) this.#sql.remove.run(seq, receipt);
      for (const received of failed) {
        const { seq, receives, receipt } = received;
        const pauseMs = backoffMs(receives, BACKOFF);
        this.#sql.delay.run(
          Math.ceil(Date.now() + pauseMs),
          dead.includes(received) ? 1 : 0,
          String(error),
          seq,
          receipt,
        );
      }
    });
    return dead;
  }

  /** When the next message after a time becomes visible; undefined if there is none. */
  nextVisibleAt(after = 0): number | undefined {
    const row = orBusy(() => this.#sql.next.get(this.#queue, after));
    return row && Number(row.visible_at);
  }
}

function prepareStatements(database: DatabaseSync) {
  database.exec(`
    CREATE TABLE IF NOT EXISTS queue_messages (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      queue TEXT NOT NULL,
      id TEXT NOT NULL,
      body TEXT NOT NULL,
      visible_at INTEGER NOT NULL,
      receives INTEGER NOT NULL DEFAULT 0,
      receipt TEXT,
      dead INTEGER NOT NULL DEFAULT 0,
      error TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS queue_messages_visible ON queue_messages (queue, visible_at) WHERE dead = 0;
  `);
  return {
    add: database.prepare('INSERT INTO queue_messages (queue, id, body, visible_at) VALUES (?, ?, ?, ?)'),
    next: database.prepare(
      'SELECT visible_at FROM queue_messages WHERE queue = ? AND dead = 0 AND visible_at > ? ORDER BY visible_at LIMIT 1',
    ),
    bury: database.prepare(`
      UPDATE queue_messages SET dead = 1, error = coalesce(error, 'its consumer died')
      WHERE queue = ? AND dead = 0 AND visible_at <= ? AND receives >= ? RETURNING id`),
    claim: database.prepare(`
      UPDATE queue_messages SET visible_at = ?, receipt = ?, receives = receives + 1
      WHERE seq IN (
        SELECT seq FROM queue_messages WHERE queue = ? AND dead = 0 AND visible_at <= ? ORDER BY visible_at, seq LIMIT ?
      ) RETURNING seq, body, receives`),
    renew: database.prepare('UPDATE queue_messages SET visible_at = ? WHERE seq = ? AND receipt = ?'),
    remove: database.prepare('DELETE FROM queue_messages WHERE seq = ? AND receipt = ?'),
    delay: database.prepare(
      'UPDATE queue_messages SET visible_at = ?, dead = ?, error = ? WHERE seq = ? AND receipt = ?',
    ),
  };
}
