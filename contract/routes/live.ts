import { context } from '../context.ts';
import { Live } from '../live.ts';
import { route } from './route.ts';

/** What happens, told as it happens. */
const liveRoutes = {
  getLive: route({
    method: 'GET',
    path: '/live',
    summary: 'Get the WebSocket address for events, if the deployment has one',
    auth: 'none',
    responses: { 200: Live },
    errors: [],
  }),
} as const;

export const live = context({
  name: 'live',
  description: 'Live events over WebSocket. docs/live.md describes the messages.',
  routes: liveRoutes,
  // Connections end with the process that holds them.
  table: { ephemeral: true },
  reads: ['jobs', 'uploads'],
});
