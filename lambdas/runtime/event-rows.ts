import type { Logged } from '../../contract/event.ts';
import type { Event } from '../../contract/events.ts';
import { EVENT_LIFETIME_SECONDS } from '../../contract/limits.ts';
import type { Change, Item, Key, Value } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import { EVENT, upgradeEventRow } from './old-event-rows.ts';

/** The key of the event with this cursor in the partition of what it is about. */
export function eventKey(pk: string, cursor: string): Key {
  return { pk, sk: `${EVENT}${cursor}` };
}

/** An event as the log stores it. `follows`: the cursor of the event before it, so that a watcher notices a gap. */
export function eventItem(
  pk: string,
  event: Event,
  { cursor, follows, now }: { cursor: string; follows: string | undefined; now: Date },
): Item {
  return {
    ...eventKey(pk, cursor),
    ...(event as unknown as Readonly<Record<string, Value>>),
    ...(follows === undefined ? {} : { follows }),
    ttl: ttlAfter(now, EVENT_LIFETIME_SECONDS),
  };
}

/** The event of a row of the log. */
export function loggedEvent(item: Item): Logged<Event> {
  const cursor = item.sk.slice(EVENT.length);
  const { id, type, time, tenant_id, data } = upgradeEventRow(item);
  return { id, type, time, tenant_id, data, cursor } as unknown as Logged<Event>;
}

/** An event that was added to a log, with its cursor and the cursor of the event that it follows. */
export interface AddedEvent {
  readonly event: Event;
  readonly cursor: string;
  readonly follows: string | undefined;
}

/** The event that a change has added to a log; undefined for other changes. */
export function addedEvent({ key, before, after }: Change): AddedEvent | undefined {
  if (!after || before || !key.sk.startsWith(EVENT)) return undefined;
  const { cursor, ...event } = loggedEvent(after);
  return { event: event as Event, cursor, follows: after.follows === undefined ? undefined : String(after.follows) };
}
