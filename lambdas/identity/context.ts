import { identity } from '../../contract/routes/identity.ts';
import type { ContextApi } from '../runtime/context.ts';
import type { Platform } from '../runtime/platform.ts';
import { createIdentityHandlers } from './handlers.ts';
import { openKeys } from './open.ts';

export const name = 'identity';

export async function openApi(platform: Platform): Promise<ContextApi<'identity'>> {
  const keys = await openKeys(platform);
  const handlers = createIdentityHandlers({ keys, clock: platform.clock, version: platform.version() });
  return { routes: identity.routes, handlers };
}
