import { isProgress } from '../../contract/event.ts';
import type { Bus } from '../../platform/ports/bus.ts';
import type { Queue } from '../../platform/ports/queue.ts';
import type { ChangeConsumer } from '../../platform/ports/table.ts';
import { addedEvent } from '../runtime/event-rows.ts';
import type { LiveDeps } from './deps.ts';
import { pushEvents } from './push-events.ts';

/** A context that consumes events: the types that it wants, and its queue. */
export interface EventConsumer {
  readonly types: readonly string[];
  readonly queue: Queue;
}

/**
 * Consumes the changes of every table with events. New events are pushed to the connections that have subscribed; all but
 * those of progress go to the bus and to the queues of the contexts that consume their type. Whatever fails has the changes
 * delivered again: every reader drops what it has seen.
 */
export function publishEvents(
  deps: LiveDeps,
  { bus, consumers }: { readonly bus: Bus; readonly consumers: readonly EventConsumer[] },
): ChangeConsumer {
  return async (changes) => {
    const added = changes.map(addedEvent).filter((one) => one !== undefined);
    const published = added.map(({ event }) => event).filter(({ type }) => !isProgress(type));
    await Promise.all([
      pushEvents(deps, added),
      ...(published.length > 0 ? [bus.publish(published)] : []),
      ...consumers.map(async ({ types, queue }) => {
        const wanted = published.filter(({ type }) => types.includes(type));
        if (wanted.length > 0) await queue.send(wanted);
      }),
    ]);
    return undefined;
  };
}
