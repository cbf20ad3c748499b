import type { ChangeConsumer } from '../../platform/ports/table.ts';
import type { LiveDeps } from './deps.ts';
import { pushEvents, type ToldEvent, toldEvent } from './push-events.ts';

/** Pushes new events to the connections that have subscribed, and passes them to the contexts that consume events. */
export function publishEvents(
  deps: LiveDeps,
  ...consumers: readonly ((events: readonly ToldEvent[]) => Promise<void>)[]
): ChangeConsumer {
  const push = pushEvents(deps);
  return async (changes) => {
    const events = changes.map(toldEvent).filter((told) => told !== undefined);
    await Promise.all([push(changes), ...consumers.map((consume) => consume(events))]);
    return undefined;
  };
}
