import { Live } from '../live.ts';
import { route } from './route.ts';

/** What happens, told as it happens. */
export const liveRoutes = {
  getLive: route({
    method: 'GET',
    path: '/live',
    context: 'live',
    summary: 'Where events are pushed over WebSocket, if this deployment does that',
    auth: 'none',
    responses: { 200: Live },
    errors: [],
  }),
} as const;
