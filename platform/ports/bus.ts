import type { Event } from '../../contract/events.ts';

/** Carries events between contexts. A consumer gets each event at least once, in no particular order. */
export interface Bus {
  /** Resolves when the events are kept; publishing an event again is fine, consumers de-duplicate by `id`. */
  publish(events: readonly Event[]): Promise<void>;
}

/** A throw has the event delivered again, with backoff. */
export type BusConsumer = (event: Event) => Promise<void>;
