import { context } from '../context.ts';
import { Live } from '../live.ts';
import { route } from './route.ts';

/** What happens, told as it happens. */
export const liveRoutes = {
  getLive: route({
    method: 'GET',
    path: '/live',
    summary: 'Where events are pushed over WebSocket, if this deployment does that',
    auth: 'none',
    responses: { 200: Live },
    errors: [],
  }),
} as const;

export const live = context({
  name: 'live',
  description: 'Events, pushed as they happen: docs/live.md has the messages of the WebSocket.',
  routes: liveRoutes,
  // Connections end with the process that holds them.
  table: { ephemeral: true },
  reads: ['jobs', 'uploads'],
});
