import { live } from '../../contract/routes/live.ts';
import type { ChangeConsumer } from '../../platform/ports/table.ts';
import { openAuthenticator } from '../identity/public.ts';
import type { ContextApi } from '../runtime/context.ts';
import type { Platform } from '../runtime/platform.ts';
import type { LiveDeps } from './deps.ts';
import { createLiveHandlers } from './handlers.ts';
import { publishEvents } from './publish-events.ts';
import { createSockets, type Sockets } from './sockets.ts';

export const name = 'live';

export async function openApi(platform: Platform): Promise<ContextApi<'live'>> {
  return { routes: live.routes, handlers: createLiveHandlers({ websocketUrl: platform.webSocketUrl }) };
}

/** Consumes the changes of the tables that have events: pushes new events, and passes them on. */
export async function openPublisher(platform: Platform): Promise<ChangeConsumer> {
  const consumers = Object.entries(platform.consumers()).map(async ([context, types]) => {
    return { types, queue: await platform.queue(context) };
  });
  return publishEvents(await openDeps(platform), {
    bus: await platform.bus(),
    consumers: await Promise.all(consumers),
  });
}

export async function openSockets(platform: Platform): Promise<Sockets> {
  const deps = await openDeps(platform);
  const read = { jobs: await platform.table('jobs'), uploads: await platform.table('uploads') };
  return createSockets({ ...deps, ...read }, await openAuthenticator(platform));
}

async function openDeps(platform: Platform): Promise<LiveDeps> {
  const { clock, log } = platform;
  return { connections: await platform.table(name), push: await platform.push(), clock, log };
}
