import { ListTablesCommand } from '@aws-sdk/client-dynamodb';
import type { TenantId } from '../../contract/common.ts';
import { expireLease } from '../../lambdas/jobs/leases.ts';
import { slotsKey } from '../../lambdas/jobs/records.ts';
import { eachTask } from '../../lambdas/jobs/tasks.ts';
import { DynamoTable } from '../../platform/aws/dynamo-table.ts';
import { callFunction } from './lambda-functions.ts';
import { createDynamoClient } from './tables.ts';

/** The jobs' table of the stacks that are deployed to LocalStack. */
async function openJobsTable(): Promise<DynamoTable> {
  const client = createDynamoClient(process.env.LOCALSTACK_ENDPOINT ?? '');
  const { TableNames = [] } = await client.send(new ListTablesCommand({}));
  const tableName = TableNames.find((name) => /jobs/i.test(name));
  if (!tableName) throw new Error(`none of the tables is that of jobs: ${TableNames}`);
  return new DynamoTable({ client, tableName });
}

/** Has the leases of a job's running tasks end now, as they do a minute after their runners' deaths. */
export async function endLeases(tenantId: string, jobId: string): Promise<void> {
  const table = await openJobsTable();
  for await (const task of eachTask(table, tenantId as TenantId, jobId as never)) await expireLease(table, task);
}

/** How many of its running jobs a tenant is counted for. */
export async function takenSlots(tenantId: string): Promise<number> {
  const table = await openJobsTable();
  return Number((await table.get(slotsKey(tenantId as TenantId)))?.running);
}

/** Has the deployment look after its jobs now, as it does every minute. */
export function reconcileNow(): Promise<void> {
  return callFunction(/^Recovers jobs/);
}
