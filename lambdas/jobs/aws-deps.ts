import * as z from 'zod/mini';
import * as entries from '../../contract/workflows.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { openBus, openTable, openWorkflows } from '../runtime/aws-composition.ts';
import { readConfig } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';
import { findFile } from '../uploads/public.ts';
import type { JobsDeps } from './deps.ts';

/** What every function of this context but the tasks works with. */
export function openJobs({ objects, log }: { objects: ObjectStore; log: Log }): JobsDeps {
  const config = readConfig({
    RUNNING_JOBS_PER_TENANT: z.coerce.number().check(z.int()),
    RETRY_DELAY_SECONDS: z.coerce.number().check(z.positive()),
  });
  const uploads = { table: openTable('uploads') };
  const publishing = { table: openTable('publishing') };
  return {
    table: openTable('jobs'),
    objects,
    workflows: openWorkflows(),
    bus: openBus(),
    clock: systemClock,
    log,
    findFile: (tenantId, fileId) => findFile(uploads, tenantId, fileId),
    contexts: {
      // Loaded when a job needs it.
      publishing: async (tenantId, input) => {
        const { completePublishingInput } = await import('../publishing/products.ts');
        return completePublishingInput(publishing, tenantId, input);
      },
    },
    entries,
    runningLimit: config.RUNNING_JOBS_PER_TENANT,
    retryDelaySeconds: config.RETRY_DELAY_SECONDS,
  };
}
