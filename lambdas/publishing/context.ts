import { publishing } from '../../contract/routes/publishing.ts';
import type { ContextApi } from '../runtime/context.ts';
import type { Platform } from '../runtime/platform.ts';
import { findFile } from '../uploads/public.ts';
import { createPublishingHandlers } from './handlers.ts';

export const name = 'publishing';

export async function openApi(platform: Platform): Promise<ContextApi<'publishing'>> {
  const uploads = { table: await platform.table('uploads') };
  const handlers = createPublishingHandlers({
    table: await platform.table(name),
    secrets: await platform.secrets(),
    workflows: await platform.workflows(),
    objects: await platform.signedObjects(),
    clock: platform.clock,
    findFile: (tenantId, fileId) => findFile(uploads, tenantId, fileId),
  });
  return { routes: publishing.routes, handlers };
}
