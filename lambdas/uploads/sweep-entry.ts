import * as z from 'zod/mini';
import { systemClock } from '../../platform/system-clock.ts';
import { openObjects, openTable } from '../runtime/aws-composition.ts';
import { readConfig } from '../runtime/config.ts';
import { createLog } from '../runtime/log.ts';
import { metricFields } from '../runtime/metrics.ts';
import { sweepUploads } from './sweep.ts';

const { METRICS_NAMESPACE: namespace } = readConfig({ METRICS_NAMESPACE: z.string() });
const log = createLog({ function: 'uploads-sweep' });
const deps = { table: openTable('UPLOADS_TABLE'), objects: openObjects(), clock: systemClock, log };

export async function handler(): Promise<void> {
  const { orphaned, ...done } = await sweepUploads(deps);
  log.info('swept', { ...done });
  if (!orphaned) return;
  const metrics = {
    OrphanedSessions: { value: orphaned.sessions, unit: 'Count' },
    OrphanedBytes: { value: orphaned.bytes, unit: 'Bytes' },
    OrphanedUsdPerMonth: { value: orphaned.usd_per_month, unit: 'None' },
  } as const;
  log.info('orphaned', metricFields(namespace, metrics, deps.clock.now()));
}
