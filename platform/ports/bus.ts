import type { Event } from '../../contract/events.ts';

/** Where rules of users match events. A rule gets each event at least once, in no particular order. */
export interface Bus {
  /** Resolves when the bus has the events. Publishing an event again is safe: readers drop what they have seen, by `id`. */
  publish(events: readonly Event[]): Promise<void>;
}
