import { systemClock } from '../../platform/system-clock.ts';
import { openLog, openObjects, openTable } from '../runtime/aws-composition.ts';
import { sweepUploads } from './sweep.ts';

const log = openLog('uploads-sweep');
const deps = { table: openTable('uploads'), objects: openObjects(), clock: systemClock, log };

export async function handler(): Promise<void> {
  const { orphaned, ...done } = await sweepUploads(deps);
  log.info('swept', { ...done });
  if (!orphaned) return;
  const { sessions, bytes, usd_per_month } = orphaned;
  const values = { OrphanedSessions: sessions, OrphanedBytes: bytes, OrphanedUsdPerMonth: usd_per_month };
  log.info('orphaned', { metrics: { values } });
}
