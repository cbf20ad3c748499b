import { openLog, openObjects } from '../runtime/aws-composition.ts';
import { openJobs } from './aws-deps.ts';
import { reconcileJobs } from './reconcile.ts';

const log = openLog('jobs-reconcile');
const deps = openJobs({ objects: openObjects(), log });

export async function handler(): Promise<void> {
  const report = await reconcileJobs(deps);
  const values = {
    OldestQueuedSeconds: report.oldest_queued_seconds,
    OldestCheckpointSeconds: report.oldest_checkpoint_seconds,
    ReconcileErrors: report.errors,
  };
  log.info('reconciled', { ...report, metrics: { values } });
}
