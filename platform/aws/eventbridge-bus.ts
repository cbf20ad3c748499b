import { setTimeout as pause } from 'node:timers/promises';
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { backoffMs } from '../../contract/backoff.ts';
import { DomainError } from '../../contract/errors.ts';
import type { Event } from '../../contract/events.ts';
import type { Bus } from '../ports/bus.ts';

/** What our events say of their source; rules match on it. */
const BUS_EVENT_SOURCE = 'millrace';
/** Entries of one PutEvents: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html */
const MAX_ENTRIES = 10;
/** Pauses of up to 100 + 200 + 400 + 800 ms: 1.5 s in all. */
const MAX_TRIES = 5;
const BACKOFF = { firstMs: 100, longestMs: 800 };

export function openEventBridgeBus(busName: string): EventBridgeBus {
  return new EventBridgeBus({ client: new EventBridgeClient(), busName });
}

/** A `Bus` on EventBridge: the detail of an entry is the event. `ServiceBusyError` when some were refused again and again. */
export class EventBridgeBus implements Bus {
  readonly #client: EventBridgeClient;
  readonly #busName: string;

  constructor(options: { client: EventBridgeClient; busName: string }) {
    this.#client = options.client;
    this.#busName = options.busName;
  }

  async publish(events: readonly Event[]): Promise<void> {
    for (let first = 0; first < events.length; first += MAX_ENTRIES)
      await this.#putUntilKept(events.slice(first, first + MAX_ENTRIES));
  }

  async #putUntilKept(events: readonly Event[]): Promise<void> {
    let left = events;
    let refusal = '';
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      if (attempt > 0) await pause(backoffMs(attempt, BACKOFF));
      const answer = await this.#client.send(
        new PutEventsCommand({
          Entries: left.map((event) => ({
            EventBusName: this.#busName,
            Source: BUS_EVENT_SOURCE,
            DetailType: event.type,
            Detail: JSON.stringify(event),
            Time: new Date(event.time),
          })),
        }),
      );
      const refused = (answer.Entries ?? []).map((entry) => entry.ErrorCode);
      left = left.filter((_, index) => refused[index]);
      if (left.length === 0) return;
      refusal = refused.find(Boolean) ?? '';
    }
    throw new DomainError('ServiceBusyError', `the event bus refused ${left.length} events: ${refusal}`);
  }
}
