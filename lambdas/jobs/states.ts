import type { JobId, TenantId } from '../../contract/common.ts';
import type { JobState } from '../../contract/jobs.ts';
import type { Table } from '../../platform/ports/table.ts';
import { asJob, jobListPk } from './records.ts';

/** The states of a tenant's newest jobs, or of those among them that a batch has; `truncated`: there are older ones. */
export async function readJobStates(
  table: Table,
  tenantId: TenantId,
  { limit, batchId }: { limit: number; batchId?: string | undefined },
): Promise<{
  items: { job_id: JobId; state: JobState; workflow: string; batch_id?: string }[];
  truncated: boolean;
}> {
  const page = await table.query({ pk: jobListPk(tenantId), index: 'g1', limit, descending: true });
  const jobs = page.items.map(asJob).filter((job) => batchId === undefined || job.batch_id === batchId);
  const items = jobs.map(({ job_id, state, workflow, batch_id }) => ({
    job_id,
    state,
    workflow,
    ...(batch_id ? { batch_id } : {}),
  }));
  return { items, truncated: page.cursor !== undefined };
}
