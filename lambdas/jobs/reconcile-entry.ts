import { openObjects } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { openJobs } from './aws-deps.ts';
import { reconcileJobs } from './reconcile.ts';

const log = createLog({ function: 'jobs-reconcile' });
const deps = openJobs({ objects: openObjects(), log });

export async function handler(): Promise<void> {
  log.info('reconciled', { ...(await reconcileJobs(deps)) });
}
