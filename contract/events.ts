import type * as z from 'zod/mini';
import * as catalogue from './event-catalogue.ts';

type Catalogue = typeof catalogue;
type EventSchema = Catalogue[keyof Catalogue][number];

/** Every event. The log stores it; bus, queues, WebSocket, long poll and webhooks carry it unchanged. */
export const EVENTS: readonly EventSchema[] = Object.values(catalogue).flat();

/** Any event of the catalogue. */
export type Event = z.infer<EventSchema>;
export type EventType = Event['type'];

export const EVENT_TYPES: readonly EventType[] = EVENTS.flatMap(({ shape }) => shape.type.def.values);
