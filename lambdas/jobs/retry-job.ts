import type { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { getJobRecord } from './cancel-job.ts';
import { addPlannedTasks } from './create-job.ts';
import type { JobsDeps } from './deps.ts';
import { moveJob, newAttempt } from './move-job.ts';
import type { JobRecord } from './records.ts';
import { nextState } from './transitions.ts';

/** Queues an ended job for a new attempt with the same ledger: what is completed is not run again. */
export async function retryJob(deps: JobsDeps, tenantId: TenantId, jobId: JobId): Promise<JobRecord> {
  const job = await getJobRecord(deps, tenantId, jobId);
  if (!nextState(job.state, 'retry')) {
    throw new DomainError(
      'JobNotRetryableError',
      `job ${jobId} is ${job.state}; only failed and cancelled jobs can be retried`,
      { state: job.state },
    );
  }
  // The definition may plan more than it did, and a job that was cancelled while it was being created has no tasks yet.
  const planned = await addPlannedTasks(deps, job, deps.clock.now());
  const { set, remove } = newAttempt(job);
  const moved = await moveJob(deps, job, 'retry', {
    // The automatic retries begin anew, too.
    set: { ...set, ...planned, retry_count: 0 },
    remove: [...remove, 'error'],
  });
  return moved.outcome === 'moved' ? moved.job : retryJob(deps, tenantId, jobId);
}
