import type { Batch, BatchItem, BatchState, CreateBatch, LabelStats } from '../../contract/batches.ts';
import type { BatchId, TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { JobState } from '../../contract/jobs.ts';
import { MAX_BATCH_BYTES, MAX_BATCH_JOBS, MIB } from '../../contract/limits.ts';
import { readObject } from '../../platform/ports/read-object.ts';
import type { Item, Write } from '../../platform/ports/table.ts';
import { findRequest, nextTry } from '../runtime/idempotency.ts';
import { findPage } from '../runtime/listing.ts';
import type { JobsDeps } from './deps.ts';
import {
  asBatch,
  asBatchItem,
  type BatchItemRecord,
  type BatchRecord,
  batchKey,
  batchListPk,
  readJob,
  SWEPT_PK,
  type SweepKind,
  statsKey,
} from './records.ts';

const NEWLINE = 0x0a;

/** The object with the jobs of a batch, a line each, until all of them are made. */
export const batchListKey = ({ tenant_id, batch_id }: Pick<BatchRecord, 'tenant_id' | 'batch_id'>) =>
  `tenant/${tenant_id}/batches/${batch_id}.ndjson`;

/** Notes the jobs; the change feed sees that they are made, some at a time. */
export async function createBatch(
  deps: JobsDeps,
  input: { tenantId: TenantId; body: CreateBatch; idempotencyKey: string | undefined },
  tries = 1,
): Promise<{ batch: BatchRecord; created: boolean }> {
  const { tenantId, body, idempotencyKey: key } = input;
  const request = key === undefined ? undefined : await findRequest(deps, { tenantId, key, body, idField: 'batch_id' });
  if (request?.id) return { batch: await getBatch(deps, tenantId, request.id), created: false };

  const lines = body.jobs ? body.jobs.map((job) => JSON.stringify(job)) : await readList(deps, tenantId, body);
  const batchId = `batch_${deps.clock.newId()}` as BatchId;
  const now = deps.clock.now().toISOString();
  const { name, workflow, max_retries } = body;
  const item = {
    ...batchKey(tenantId, batchId),
    g1pk: batchListPk(tenantId),
    g1sk: batchId,
    tenant_id: tenantId,
    batch_id: batchId,
    ...(name && { name }),
    defaults: { ...(workflow && { workflow }), ...(max_retries !== undefined && { max_retries }) },
    total: lines.length,
    completed: 0,
    failed: 0,
    cancelled: 0,
    created_at: now,
    ...sweepOf('create', batchId, now),
  } satisfies Item;
  const batch = asBatch(item);
  const object = { key: batchListKey(batch), body: Buffer.from(lines.join('\n')), contentType: 'application/x-ndjson' };
  await deps.objects.put(object);
  const writes: Write[] = [{ op: 'put', item, unlessExists: true }];
  if (request) writes.push(request.claim(batchId));
  const result = await deps.table.transact(writes);
  if (result.ok) return { batch, created: true };
  // Another request with the same key came first: the second look finds its batch.
  await deps.objects.delete(object.key);
  return createBatch(deps, input, nextTry(tries));
}

/** What begins a sweep over all items, and has it found by reconcile. */
function sweepOf(sweep: SweepKind, batchId: BatchId, now: string) {
  return { sweep, sweep_index: 0, list_offset: 0, sweep_at: now, g2pk: SWEPT_PK, g2sk: batchId };
}

/** The lines of a file, without the blank ones. */
async function readList(deps: JobsDeps, tenantId: TenantId, { file_id }: CreateBatch): Promise<string[]> {
  const file = await deps.findFile(tenantId, String(file_id));
  if (!file) throw new DomainError('FileNotFoundError', 'file_id: the file does not exist', { field: 'file_id' });
  if (file.size_bytes > MAX_BATCH_BYTES) {
    const message = `file_id: the file has ${file.size_bytes} bytes; at most ${MAX_BATCH_BYTES / MIB} MiB are allowed`;
    throw new DomainError('InputDataError', message, { field: 'file_id' });
  }
  const lines = (await readObject(deps.objects, file.object_key)).toString('utf8').split('\n');
  const jobs = lines.map((line) => line.trim()).filter((line) => line !== '');
  if (jobs.length === 0 || jobs.length > MAX_BATCH_JOBS) {
    const message = `file_id: the file lists ${jobs.length} jobs; a batch must have 1 to ${MAX_BATCH_JOBS}`;
    throw new DomainError('InputDataError', message, { field: 'file_id' });
  }
  return jobs;
}

/** At most `count` lines of a batch's list from `offset` on, and where the one after them begins. */
export async function readLines(
  { objects }: JobsDeps,
  batch: BatchRecord,
  count: number,
): Promise<{ lines: string[]; next: number }> {
  const lines: string[] = [];
  let rest = Buffer.alloc(0);
  let next = batch.list_offset;
  for await (const chunk of await objects.read(batchListKey(batch), { start: next })) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(NEWLINE); end >= 0 && lines.length < count; end = rest.indexOf(NEWLINE)) {
      lines.push(rest.toString('utf8', 0, end));
      rest = rest.subarray(end + 1);
      next += end + 1;
    }
    if (lines.length === count) break;
  }
  // The last line of the list ends with it.
  if (lines.length < count && rest.length > 0) lines.push(rest.toString('utf8'));
  return { lines, next };
}

/** `BatchNotFoundError` for another tenant's batch as for an unknown one. */
export async function getBatch({ table }: JobsDeps, tenantId: TenantId, batchId: string): Promise<BatchRecord> {
  const item = await table.get(batchKey(tenantId, batchId));
  if (!item) throw new DomainError('BatchNotFoundError', `batch ${batchId} does not exist`);
  return asBatch(item);
}

/** Cancels what has not ended, and keeps from being made what is not made yet. */
export async function cancelBatch(deps: JobsDeps, tenantId: TenantId, batchId: BatchId): Promise<BatchRecord> {
  const batch = await getBatch(deps, tenantId, batchId);
  if (batch.sweep === 'cancel' || (!batch.sweep && endedOf(batch) === batch.total)) return batch;
  return (await beginSweep(deps, batch, 'cancel')) ?? cancelBatch(deps, tenantId, batchId);
}

/** Queues the failed jobs again; `BatchBusyError` while another sweep is on its way. */
export async function retryBatch(deps: JobsDeps, tenantId: TenantId, batchId: BatchId): Promise<BatchRecord> {
  const batch = await getBatch(deps, tenantId, batchId);
  if (batch.sweep === 'retry') return batch;
  if (batch.sweep) throw new DomainError('BatchBusyError', `batch ${batchId} is ${stateOf(batch)}; try again later`);
  return (await beginSweep(deps, batch, 'retry')) ?? retryBatch(deps, tenantId, batchId);
}

/** Undefined if another sweep came first. */
async function beginSweep(deps: JobsDeps, batch: BatchRecord, sweep: SweepKind): Promise<BatchRecord | undefined> {
  const now = deps.clock.now().toISOString();
  const result = await deps.table.write({
    op: 'update',
    key: batchKey(batch.tenant_id, batch.batch_id),
    if: { sweep: batch.sweep ?? { absent: true } },
    set: { ...sweepOf(sweep, batch.batch_id, now), ...(sweep === 'cancel' && { cancelling_at: now }) },
    remove: sweep === 'retry' ? ['cancelling_at'] : [],
  });
  return result.ok && result.item ? asBatch(result.item) : undefined;
}

/** The items of a page that match; some pages without any are passed over, and then there may be only a cursor. */
export async function listBatchItems(
  deps: JobsDeps,
  { tenant_id, batch_id }: BatchRecord,
  query: { limit: number; cursor?: string | undefined; state?: JobState | undefined },
): Promise<{ items: BatchItem[]; next_cursor?: string }> {
  const { pk } = batchKey(tenant_id, batch_id);
  const readPage = async (part: { limit: number; cursor?: string }) => {
    const { items, cursor } = await deps.table.query({ ...part, pk, prefix: 'ITEM#' });
    return { items: await Promise.all(items.map((item) => itemView(deps, tenant_id, asBatchItem(item)))), cursor };
  };
  const matches = ({ state }: BatchItem) => query.state === undefined || state === query.state;
  const { items, next } = await findPage(query, readPage, matches);
  return { items, ...next };
}

async function itemView({ table }: JobsDeps, tenantId: TenantId, item: BatchItemRecord): Promise<BatchItem> {
  const { index } = item;
  if ('state' in item) return { index, state: item.state, ...('error' in item && { error: item.error }) };
  const job = await readJob(table, tenantId, item.job_id);
  return { index, job_id: item.job_id, state: job?.state ?? 'creating', ...(job?.error && { error: job.error }) };
}

export function batchView(batch: BatchRecord): Batch {
  const { batch_id, name, total, completed, failed, cancelled, created_at, cancelling_at } = batch;
  const percent = Math.floor((100 * endedOf(batch)) / total);
  const counts = { total, completed, failed, cancelled, percent };
  return { id: batch_id, name, state: stateOf(batch), ...counts, created_at, cancelling_at };
}

function endedOf({ completed, failed, cancelled }: BatchRecord): number {
  return completed + failed + cancelled;
}

function stateOf(batch: BatchRecord): BatchState {
  const { sweep, cancelling_at, failed, cancelled, total } = batch;
  if (sweep === 'create') return 'creating';
  if (sweep === 'cancel' || (cancelling_at && endedOf(batch) < total)) return 'cancelling';
  if (sweep === 'retry' || endedOf(batch) < total) return 'running';
  if (failed > 0) return 'failed';
  return cancelled > 0 ? 'cancelled' : 'completed';
}

const COUNTED_STATES = ['queued', 'running', 'cancelling', 'completed', 'failed', 'cancelled'] as const;

/** Of one label, or of all that the tenant has had jobs of. */
export async function readStats(
  { table }: JobsDeps,
  tenantId: TenantId,
  label: string | undefined,
): Promise<LabelStats[]> {
  const { pk, sk } = statsKey(tenantId, '');
  const found = label
    ? [await table.get(statsKey(tenantId, label))]
    : (await table.query({ pk, prefix: sk, limit: 1_000 })).items;
  return found.flatMap((row) => {
    if (!row) return [];
    const counts = COUNTED_STATES.map((state) => [state, Number(row[state] ?? 0)]);
    return [{ label: row.sk.slice(sk.length), jobs: Object.fromEntries(counts) as LabelStats['jobs'] }];
  });
}
