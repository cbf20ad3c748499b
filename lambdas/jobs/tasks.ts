import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { KIB, MAX_TASK_OUTPUT_BYTES } from '../../contract/limits.ts';
import type { PlannedTask, WorkflowEntry } from '../../contract/workflow.ts';
import {
  type Item,
  type Key,
  MAX_TRANSACTION_WRITES,
  type Table,
  type Value,
  type Write,
} from '../../platform/ports/table.ts';
import { eachItem } from '../runtime/listing.ts';
import { asTask, type JobRecord, jobKey, type TaskRecord } from './records.ts';

const LEDGER_PAGE = 200;

/** The task's id in the API. */
export function taskId(step: string, item?: number): string {
  return item === undefined ? step : `${step}-${item}`;
}

/** The steps of a workflow in their order, which may change as its definition does. */
export function workflowSteps(entry: WorkflowEntry, input: Record<string, unknown>): readonly string[] {
  return [...new Set(entry.steps ?? entry.plan(input).map((task) => task.step))];
}

/** The steps of a job in their order: those that it has keep their places, and new ones of its workflow come behind them. */
export function jobSteps(
  entry: WorkflowEntry,
  { steps = [] }: Pick<JobRecord, 'steps'>,
  input: Record<string, unknown>,
): readonly string[] {
  return [...new Set([...steps, ...workflowSteps(entry, input)])];
}

/** The place of each step of a job, from 1: the ledger sorts by it. */
export function stepOrders(steps: readonly string[]): (step: string) => number {
  const orders = new Map(steps.map((step, index) => [step, index + 1]));
  return (step) => {
    const order = orders.get(step);
    if (order === undefined) throw new Error(`step ${step} is not among the steps of its workflow`);
    return order;
  };
}

const orderPrefix = (order: number) => `TASK#${String(order).padStart(4, '0')}#`;

/** Items are padded, so that they sort as numbers. */
export function taskKey(tenantId: TenantId, jobId: string, order: number, step: string, item?: number): Key {
  const id = item === undefined ? step : `${step}-${String(item).padStart(6, '0')}`;
  return { pk: jobKey(tenantId, jobId).pk, sk: `${orderPrefix(order)}${id}` };
}

export const isTaskKey = (key: Key) => key.sk.startsWith('TASK#');

export interface TasksToAdd {
  readonly tenantId: TenantId;
  readonly jobId: string;
  readonly orderOf: (step: string) => number;
  readonly tasks: readonly PlannedTask[];
  readonly now: Date;
}

/** Adds tasks that are not there yet; those that are, in whatever state, are left alone. Safe to repeat at any time. */
export async function addTasks(table: Table, add: TasksToAdd): Promise<void> {
  const writes = putTasks(add);
  for (let start = 0; start < writes.length; start += MAX_TRANSACTION_WRITES) {
    await putMissing(table, writes.slice(start, start + MAX_TRANSACTION_WRITES));
  }
}

/** The writes of a transaction that adds tasks, none of which may be there. */
export function putTasks(add: TasksToAdd): Write[] {
  return add.tasks.map((task) => ({ op: 'put', item: newTask(add, task), unlessExists: true }));
}

function newTask({ tenantId, jobId, orderOf, now }: TasksToAdd, { step, item }: PlannedTask): Item {
  const order = orderOf(step);
  return {
    ...taskKey(tenantId, jobId, order, step, item),
    task_id: taskId(step, item),
    step,
    step_order: order,
    ...(item === undefined ? {} : { item }),
    state: 'pending',
    attempts: 0,
    lease_until: 0,
    created_at: now.toISOString(),
  };
}

async function putMissing(table: Table, writes: readonly Write[]): Promise<void> {
  let missing = writes;
  while (missing.length > 0) {
    const result = await table.transact(missing);
    if (result.ok) return;
    const existing = new Set(result.failed.map((failure) => failure.index));
    missing = missing.filter((_, index) => !existing.has(index));
  }
}

/** A job's tasks in order, those of one step if `order` is given; a page at a time is in memory. */
export async function* eachTask(
  table: Table,
  tenantId: TenantId,
  jobId: string,
  order?: number,
): AsyncGenerator<TaskRecord & Key> {
  const prefix = order === undefined ? 'TASK#' : orderPrefix(order);
  const rows = eachItem(table, { pk: jobKey(tenantId, jobId).pk, prefix, limit: LEDGER_PAGE });
  for await (const item of rows) yield { ...asTask(item), pk: item.pk, sk: item.sk };
}

/** Throws when a result is too large for the ledger. */
export function checkResult(what: string, result: Value | undefined): Value {
  const bytes = Buffer.byteLength(JSON.stringify(result ?? null));
  if (bytes <= MAX_TASK_OUTPUT_BYTES) return result ?? null;
  throw new DomainError(
    'InternalError',
    `${what} has ${bytes} bytes; at most ${MAX_TASK_OUTPUT_BYTES / KIB} KiB are allowed: store it as an artifact or a scratch object`,
  );
}

/** Outputs of those of a step's items that are completed. */
export async function readOutputs(
  table: Table,
  { tenantId, jobId, order, step }: { tenantId: TenantId; jobId: string; order: number; step: string },
  items: readonly number[],
): Promise<{ item: number; output: Value }[]> {
  const rows = await Promise.all(items.map((item) => table.get(taskKey(tenantId, jobId, order, step, item))));
  return rows.flatMap((row, at) => {
    const task = row && asTask(row);
    return task?.state === 'completed' ? [{ item: items[at] as number, output: task.output ?? null }] : [];
  });
}

/** Brings a job's measures up to date with those of a task that completed. */
export function addMeasures(measures: Record<string, number>, { counts, gauges }: TaskRecord): void {
  addUp(measures, counts);
  Object.assign(measures, gauges);
}

/** Adds measures up by name. */
export function addUp(sums: Record<string, number>, measures: Readonly<Record<string, number>> = {}): void {
  for (const [name, value] of Object.entries(measures)) sums[name] = (sums[name] ?? 0) + value;
}
