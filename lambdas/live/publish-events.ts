import type { Event } from '../../contract/events.ts';
import type { ChangeConsumer } from '../../platform/ports/table.ts';
import { addedEvent } from '../runtime/event-rows.ts';
import type { LiveDeps } from './deps.ts';
import { pushEvents } from './push-events.ts';

/** Pushes new events to the connections that have subscribed, and passes them to the contexts that consume events. */
export function publishEvents(
  deps: LiveDeps,
  ...consumers: readonly ((events: readonly Event[]) => Promise<void>)[]
): ChangeConsumer {
  return async (changes) => {
    const added = changes.map(addedEvent).filter((one) => one !== undefined);
    const events = added.map(({ event }) => event);
    await Promise.all([pushEvents(deps, added), ...consumers.map((consume) => consume(events))]);
    return undefined;
  };
}
