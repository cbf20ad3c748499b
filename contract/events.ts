import type * as z from 'zod/mini';
import { isProgress } from './event.ts';
import * as catalogue from './event-catalogue.ts';

type Catalogue = typeof catalogue;
type EventSchema = Catalogue[keyof Catalogue][number];

/** Every event. The log stores it; bus, queues, WebSocket, long poll and webhooks carry it unchanged. */
export const EVENTS: readonly EventSchema[] = Object.values(catalogue).flat();

/** Any event of the catalogue. */
export type Event = z.infer<EventSchema>;
type EventType = Event['type'];

/** The types of events that leave the log: by the bus, to the contexts that consume them and to webhooks. */
export type PublishedType = Exclude<EventType, `${string}.progress`>;

export const PUBLISHED_TYPES: readonly PublishedType[] = EVENTS.flatMap(({ shape }) => shape.type.def.values).filter(
  (type): type is PublishedType => !isProgress(type),
);
