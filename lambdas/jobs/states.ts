import type { BatchId, JobId, TenantId } from '../../contract/common.ts';
import type { JobState } from '../../contract/jobs.ts';
import type { Table } from '../../platform/ports/table.ts';
import { asBatchItem, asJob, batchItemKey, batchKey, type JobRecord, jobListPk, readJob } from './records.ts';

export interface JobStates {
  readonly items: readonly {
    readonly job_id: JobId;
    readonly state: JobState;
    readonly workflow: string;
    readonly batch_id?: BatchId;
  }[];
  /** There are more. */
  readonly truncated: boolean;
}

/** The states of a tenant's newest jobs. */
export async function readJobStates(table: Table, tenantId: TenantId, limit: number): Promise<JobStates> {
  const page = await table.query({ pk: jobListPk(tenantId), index: 'g1', limit, descending: true });
  return { items: page.items.map(asJob).map(stateOf), truncated: page.cursor !== undefined };
}

/** The states of a batch's jobs, in its order; undefined if there is no such batch. */
export async function readBatchStates(
  table: Table,
  tenantId: TenantId,
  batchId: BatchId,
  limit: number,
): Promise<JobStates | undefined> {
  const key = batchKey(tenantId, batchId);
  if (!(await table.get(key))) return undefined;
  const prefix = batchItemKey(tenantId, batchId, 0).sk.replace(/\d+$/, '');
  const page = await table.query({ pk: key.pk, prefix, limit });
  const jobs = await Promise.all(
    page.items.map(asBatchItem).map((item) => ('job_id' in item ? readJob(table, tenantId, item.job_id) : undefined)),
  );
  const items = jobs.filter((job) => job !== undefined).map(stateOf);
  return { items, truncated: page.cursor !== undefined };
}

function stateOf({ job_id, state, workflow, batch_id }: JobRecord): JobStates['items'][number] {
  return { job_id, state, workflow, ...(batch_id ? { batch_id } : {}) };
}
