import type { JobId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { JobsDeps } from './deps.ts';
import { moveJob } from './move-job.ts';
import { executionName, type JobRecord, readJob } from './records.ts';
import { hasEnded } from './transitions.ts';

/** Ends a job that waits at once; has a running one stop, which `cancelled` tells when nothing of it runs any more. */
export async function cancelJob(deps: JobsDeps, tenantId: TenantId, jobId: JobId): Promise<JobRecord> {
  const job = await getJobRecord(deps, tenantId, jobId);
  if (hasEnded(job.state)) {
    throw new DomainError(
      'JobNotCancellableError',
      `job ${jobId} is ${job.state}; only jobs that have not ended can be cancelled`,
      { state: job.state },
    );
  }
  if (job.state === 'cancelling') return job;
  const moved = await moveJob(deps, job, 'cancel');
  if (moved.outcome !== 'moved') return cancelJob(deps, tenantId, jobId);
  if (moved.job.state === 'cancelling') await stopExecution(deps, moved.job);
  return moved.job;
}

/** The cancellation holds without it: running tasks see it, and reconcile stops the execution again. */
export async function stopExecution({ workflows, log }: JobsDeps, job: JobRecord): Promise<void> {
  const { workflow, tenant_id, job_id } = job;
  await workflows
    .stop({ workflow, name: executionName(job), cause: 'the job was cancelled' })
    .catch((error: unknown) => log.error('execution not stopped', { tenant_id, job_id, error }));
}

/** `JobNotFoundError` for another tenant's job as for an unknown one. */
export async function getJobRecord({ table }: JobsDeps, tenantId: TenantId, jobId: JobId): Promise<JobRecord> {
  const job = await readJob(table, tenantId, jobId);
  if (!job) throw new DomainError('JobNotFoundError', `job ${jobId} does not exist`);
  return job;
}
