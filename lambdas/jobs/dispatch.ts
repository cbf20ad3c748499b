import type { TenantId } from '../../contract/common.ts';
import { isRefusal } from '../../contract/errors.ts';
import { addGainedSteps } from './create-job.ts';
import type { JobsDeps } from './deps.ts';
import { moveJob } from './move-job.ts';
import { executionName, type JobRecord, queueKey, queuePk, readJob, slotsKey } from './records.ts';
import { runNumber } from './upgrade-row.ts';

const QUEUE_PAGE = 25;

/**
 * Starts a tenant's queued jobs, oldest first, while it has free slots. Any number may run at the same time: each
 * admission is one transaction.
 */
export async function dispatch(deps: JobsDeps, tenantId: TenantId): Promise<void> {
  for (;;) {
    const page = await deps.table.query({ pk: queuePk(tenantId), limit: QUEUE_PAGE });
    for (const row of page.items) {
      const job = await readJob(deps.table, tenantId, String(row.job_id));
      if (job?.state !== 'queued' || queueKey(job).sk !== row.sk) {
        // Admitted or cancelled by another since the query: its row is gone by now, unless it is a row of no use.
        await deps.table.write({ op: 'delete', key: { pk: row.pk, sk: row.sk }, if: { attempt: Number(row.attempt) } });
        continue;
      }
      // Rows sort by when they are due: those behind this one are not due either.
      if (Date.parse(job.due_at ?? job.created_at) > deps.clock.now().getTime()) return;
      if ((await admit(deps, job)) === 'full') return;
    }
    // Who queues a job after this look wakes dispatch again.
    if (!page.cursor) return;
  }
}

async function admit(deps: JobsDeps, job: JobRecord): Promise<'done' | 'full'> {
  const admission = { remove: ['error'], runningLimit: deps.runningLimit };
  let moved = await moveJob(deps, job, 'admit', admission);
  if (moved.outcome === 'full' && (await createSlots(deps, job.tenant_id))) {
    moved = await moveJob(deps, job, 'admit', admission);
  }
  if (moved.outcome === 'full') return 'full';
  if (moved.outcome === 'moved') {
    await startExecution(deps, moved.job).catch((error: unknown) => {
      // The job runs as far as the ledger knows: reconcile starts its execution.
      deps.log.error('execution not started', { job_id: job.job_id, tenant_id: job.tenant_id, error });
    });
  }
  return 'done';
}

/** Answers whether the tenant had no slots item yet. */
async function createSlots({ table }: JobsDeps, tenantId: TenantId): Promise<boolean> {
  const created = await table.write({ op: 'put', item: { ...slotsKey(tenantId), running: 0 }, unlessExists: true });
  return created.ok;
}

/** Starts the execution of a running job's present attempt and run; fine if it has been started before. */
export async function startExecution(deps: JobsDeps, job: JobRecord): Promise<void> {
  const { tenant_id, job_id, attempt, run, workflow, continued } = job;
  const name = executionName(job);
  const input = {
    job: { tenant_id, job_id, attempt, ...runNumber(run) },
    ...(continued === undefined ? {} : { continued: JSON.parse(continued) }),
  };
  try {
    await addGainedSteps(deps, job);
    await deps.workflows.start({ workflow, name, input });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    await moveJob(deps, job, 'fail', { set: { error: { code: error.code, message: error.message } } });
    return;
  }
  // A cancellation since the job was read has asked to stop an execution that was not there yet.
  const now = await readJob(deps.table, tenant_id, job_id);
  if (now?.state !== 'running' || now.attempt !== attempt || now.run !== run) {
    await deps.workflows.stop({ workflow, name, cause: 'the job was cancelled' });
  }
}
