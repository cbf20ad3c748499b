import { systemClock } from '../../platform/system-clock.ts';
import { openObjects, openTable } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { sweepUploads } from './sweep.ts';

const log = createLog({ function: 'uploads-sweep' });
const deps = { table: openTable('UPLOADS_TABLE'), objects: openObjects(), clock: systemClock, log };

export async function handler(): Promise<void> {
  log.info('swept', { ...(await sweepUploads(deps)) });
}
