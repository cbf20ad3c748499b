import * as z from 'zod/mini';
import { uploads } from '../../contract/routes/uploads.ts';
import { Quotas } from '../../contract/uploads.ts';
import type { ChangeConsumer } from '../../platform/ports/table.ts';
import type { ContextApi, ScheduleRun } from '../runtime/context.ts';
import type { Platform } from '../runtime/platform.ts';
import { logUploadChanges } from './changes.ts';
import { createUploadsHandlers } from './handlers.ts';
import { sweepUploads } from './sweep.ts';

export const name = 'uploads';

export async function openApi(platform: Platform): Promise<ContextApi<'uploads'>> {
  const { clock, log } = platform;
  const handlers = createUploadsHandlers({
    table: await platform.table(name),
    objects: await platform.signedObjects(),
    clock,
    log,
    ...platform.settings({ quotas: Quotas, deletedFileDays: z.int() }),
  });
  return { routes: uploads.routes, handlers };
}

export async function openFeed(platform: Platform): Promise<ChangeConsumer> {
  const { clock, log } = platform;
  return logUploadChanges({ table: await platform.table(name), clock, log });
}

export const schedules = {
  async sweep(platform: Platform): Promise<ScheduleRun> {
    const { clock, log } = platform;
    const deps = { table: await platform.table(name), objects: await platform.objects(), clock, log };
    return async () => {
      const { orphaned, ...done } = await sweepUploads(deps);
      if (orphaned) {
        const { sessions, bytes, usd_per_month } = orphaned;
        const values = { OrphanedSessions: sessions, OrphanedBytes: bytes, OrphanedUsdPerMonth: usd_per_month };
        log.info('orphaned', { ...orphaned, metrics: { values } });
      }
      return { ...done };
    };
  },
};
