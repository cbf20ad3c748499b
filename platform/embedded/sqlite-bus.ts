import type { DatabaseSync } from 'node:sqlite';
import type { Event, EventType } from '../../contract/events.ts';
import type { Bus, BusConsumer } from '../ports/bus.ts';
import type { Log } from '../ports/log.ts';
import type { Value } from '../ports/table.ts';
import { Deliveries } from './deliveries.ts';
import { inTransaction } from './open-database.ts';

/** 6 minutes of pauses on average, at most 12; then the event is a dead letter of that subscriber. */
const MAX_TRIES = 20;

/** A `Bus` in SQLite: an event is kept once for each subscriber that wants it, until that one has taken it. */
export class SqliteBus implements Bus {
  readonly #database: DatabaseSync;
  readonly #log: Log;
  readonly #maxTries: number;
  readonly #subscribers: { types: readonly EventType[]; deliveries: Deliveries; consumer: BusConsumer }[] = [];

  constructor(options: { database: DatabaseSync; log: Log; maxTries?: number }) {
    this.#database = options.database;
    this.#log = options.log;
    this.#maxTries = options.maxTries ?? MAX_TRIES;
  }

  /** To be called before `start`; `name` is the same at every start of the process. */
  subscribe(name: string, types: readonly EventType[], consumer: BusConsumer): void {
    const deliveries = new Deliveries({
      database: this.#database,
      queue: `bus:${name}`,
      maxTries: this.#maxTries,
      log: this.#log,
    });
    this.#subscribers.push({ types, deliveries, consumer });
  }

  async publish(events: readonly Event[]): Promise<void> {
    if (this.#subscribers.length === 0) return;
    inTransaction(this.#database, () => {
      for (const event of events) {
        for (const { types, deliveries } of this.#subscribers)
          if (types.includes(event.type)) deliveries.put(event.id, event as Value);
      }
    });
  }

  start(): void {
    for (const { deliveries, consumer } of this.#subscribers) deliveries.start((event) => consumer(event as Event));
  }

  /** Begins no more deliveries and waits for those that run; the others are kept. */
  async stop(): Promise<void> {
    await Promise.all(this.#subscribers.map(({ deliveries }) => deliveries.stop()));
  }

  /** Waits until everything has been delivered or given up. */
  async drain(): Promise<void> {
    await Promise.all(this.#subscribers.map(({ deliveries }) => deliveries.drain()));
  }
}
