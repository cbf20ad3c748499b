import * as z from 'zod/mini';
import { EventCursor, TenantId, Timestamp } from './common.ts';

/** The fields that every event has beside its type and data. */
const common = {
  /** Follows from what happened, so that an event that is published again has the same id: readers drop what they have seen. */
  id: z.string(),
  time: Timestamp,
  tenant_id: TenantId,
};

/**
 * Declares an event. `meaning` is its sentence in docs/events.md.
 *
 * An event whose type ends in `.progress` goes to the log, to WebSockets and to long polls. All others go to the bus, to the
 * queues of the contexts that consume them and to webhooks as well.
 */
export function event<const Type extends string, Data extends z.ZodMiniObject>(
  type: Type,
  meaning: string,
  data: Data,
) {
  return z.object({ ...common, type: z.literal(type), data }).check(z.describe(meaning));
}

/** Whether an event only says how far something has come. */
export function isProgress(type: string): boolean {
  return type.endsWith('.progress');
}

/** An event with its place in the log of its job or upload. `cursor` is where a reader resumes; cursors compare as strings. */
export type Logged<Event> = Event & { readonly cursor: string };

/** The schema of events as listings, long polls and WebSockets carry them: the event, and its cursor beside it. */
export function logged<Event extends z.ZodMiniType>(schema: Event) {
  return z.intersection(schema, z.object({ cursor: EventCursor }));
}
