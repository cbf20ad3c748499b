import * as z from 'zod/mini';
import { DomainError, isRefusal } from '../../contract/errors.ts';
import { CreateJob, type JobError } from '../../contract/jobs.ts';
import type { Change } from '../../platform/ports/table.ts';
import { findProblem } from '../runtime/json-body.ts';
import { problemsOf, validationError } from '../runtime/validation.ts';
import { batchListKey, readLines } from './batches.ts';
import { cancelJob } from './cancel-job.ts';
import { finishCreating, newJob } from './create-job.ts';
import type { JobsDeps } from './deps.ts';
import {
  asBatch,
  asBatchItem,
  asJob,
  type BatchItemRecord,
  type BatchRecord,
  batchItemKey,
  batchKey,
  jobKey,
  readJob,
} from './records.ts';
import { retryJob } from './retry-job.ts';

/** Items taken up at once: few, since the changes of other jobs wait meanwhile. */
const CHUNK_ITEMS = 10;

/** Whether a change begins a sweep or brings one further: so each step of a sweep wakes the next. */
function wakesSweep({ key, before, after }: Change): boolean {
  if (key.sk !== 'BATCH' || !after?.sweep) return false;
  return before?.sweep !== after.sweep || before.sweep_index !== after.sweep_index;
}

/**
 * Makes one step of a batch's sweep. An item's row, which is written once, decides whether it has a job: a step may be
 * repeated, and one of `create` may be overtaken by one of `cancel`.
 */
export async function sweepBatch(deps: JobsDeps, batch: BatchRecord): Promise<void> {
  const { tenant_id, batch_id, sweep, sweep_index: start, total } = batch;
  if (!sweep) return;
  const end = Math.min(start + CHUNK_ITEMS, total);
  let { list_offset } = batch;
  if (sweep === 'create') {
    const { lines, next } = await readLines(deps, batch, end - start);
    await createItems(deps, batch, lines);
    list_offset = next;
  } else {
    await (sweep === 'cancel' ? cancelItems : retryItems)(deps, batch, end);
  }
  const done = end === total;
  const now = deps.clock.now().toISOString();
  const result = await deps.table.write({
    op: 'update',
    key: batchKey(tenant_id, batch_id),
    if: { sweep, sweep_index: start },
    set: done ? {} : { sweep_index: end, list_offset, sweep_at: now },
    remove: done ? ['sweep', 'g2pk', 'g2sk'] : [],
  });
  // Every item has its row now.
  if (result.ok && done && sweep !== 'retry') await deps.objects.delete(batchListKey(batch));
}

async function createItems(deps: JobsDeps, batch: BatchRecord, lines: readonly string[]): Promise<void> {
  const refused = await Promise.all(
    lines.map(async (line, offset): Promise<BatchItemRecord[]> => {
      const index = batch.sweep_index + offset;
      const error = await createItem(deps, batch, index, line);
      return error ? [{ index, state: 'failed', error }] : [];
    }),
  );
  await closeItems(deps, batch, 'failed', refused.flat());
}

/** Why there can be no such job; undefined when there is one, or the item has been cancelled. */
async function createItem(
  deps: JobsDeps,
  batch: BatchRecord,
  index: number,
  line: string,
): Promise<JobError | undefined> {
  const { tenant_id, batch_id } = batch;
  const key = batchItemKey(tenant_id, batch_id, index);
  const found = await readItem(deps, batch, index);
  if (found) {
    const job = 'job_id' in found ? await readJob(deps.table, tenant_id, found.job_id) : undefined;
    if (job?.state === 'creating') await finishCreating(deps, job);
    return undefined;
  }
  try {
    const job = { ...(await newJob(deps, tenant_id, parseLine(batch, line))), batch_id };
    const { job_id } = job;
    const { ok } = await deps.table.transact([
      { op: 'put', item: { ...key, index, job_id }, unlessExists: true },
      { op: 'put', item: job, unlessExists: true },
    ]);
    if (ok) await finishCreating(deps, asJob(job));
    return undefined;
  } catch (error) {
    return refusalOf(error);
  }
}

/** Why an item fails; throws what may heal, and what is a defect. */
function refusalOf(error: unknown): JobError {
  if (!isRefusal(error)) throw error;
  return { code: error.code, message: error.message };
}

const JobLine = z.object({ job: CreateJob });

function parseLine({ defaults }: BatchRecord, line: string): CreateJob {
  let given: unknown;
  try {
    given = JSON.parse(line);
  } catch {
    throw new DomainError('ValidationError', 'the line must be JSON');
  }
  const problem = findProblem(given);
  if (problem !== undefined) throw validationError([{ field: 'job', problem }]);
  const parsed = JobLine.safeParse({ job: isObject(given) ? { ...defaults, ...given } : given });
  if (!parsed.success) throw validationError(problemsOf(parsed.error, 'job'));
  return parsed.data.job;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function cancelItems(deps: JobsDeps, batch: BatchRecord, end: number): Promise<void> {
  const unmade: BatchItemRecord[] = [];
  await eachItem(deps, batch, end, async (index, item) => {
    if (!item) unmade.push({ index, state: 'cancelled' });
    else if ('job_id' in item)
      await cancelJob(deps, batch.tenant_id, item.job_id).catch(unless('JobNotCancellableError'));
  });
  if (unmade.length === 0) return;
  await closeItems(deps, batch, 'cancelled', unmade);
  // Some may have got a job meanwhile.
  await cancelItems(deps, batch, end);
}

async function retryItems(deps: JobsDeps, batch: BatchRecord, end: number): Promise<void> {
  const { tenant_id } = batch;
  await eachItem(deps, batch, end, async (_index, item) => {
    const job = item && 'job_id' in item ? await readJob(deps.table, tenant_id, item.job_id) : undefined;
    if (job?.state !== 'failed') return;
    const { job_id, state, attempt } = job;
    await retryJob(deps, tenant_id, job_id).catch(async (thrown: unknown) => {
      const error = refusalOf(thrown);
      await deps.table.write({ op: 'update', key: jobKey(tenant_id, job_id), if: { state, attempt }, set: { error } });
    });
  });
}

async function eachItem(
  deps: JobsDeps,
  batch: BatchRecord,
  end: number,
  work: (index: number, item: BatchItemRecord | undefined) => Promise<void>,
): Promise<void> {
  const indices = Array.from({ length: end - batch.sweep_index }, (_, offset) => batch.sweep_index + offset);
  await Promise.all(indices.map(async (index) => work(index, await readItem(deps, batch, index))));
}

async function readItem({ table }: JobsDeps, { tenant_id, batch_id }: BatchRecord, index: number) {
  const item = await table.get(batchItemKey(tenant_id, batch_id, index));
  return item && asBatchItem(item);
}

/** Ends items that have no job; those that have a row by now stay as they are. */
async function closeItems(
  deps: JobsDeps,
  batch: BatchRecord,
  counter: 'failed' | 'cancelled',
  items: readonly BatchItemRecord[],
): Promise<void> {
  if (items.length === 0) return;
  const { tenant_id, batch_id } = batch;
  const result = await deps.table.transact([
    { op: 'update', key: batchKey(tenant_id, batch_id), add: { [counter]: items.length } },
    ...items.map((item) => ({
      op: 'put' as const,
      item: { ...batchItemKey(tenant_id, batch_id, item.index), ...item },
      unlessExists: true,
    })),
  ]);
  if (result.ok) return;
  const taken = result.failed.map(({ index }) => index - 1);
  const rest = items.filter((_, at) => !taken.includes(at));
  await closeItems(deps, batch, counter, rest);
}

function unless(code: DomainError['code']) {
  return (error: unknown) => {
    if (!(error instanceof DomainError) || error.code !== code) throw error;
  };
}

/** The batches among `changes` that a sweep is to bring further, as they are now. */
export async function sweptBatches({ table }: JobsDeps, changes: readonly Change[]): Promise<BatchRecord[]> {
  const keys = new Map(changes.filter(wakesSweep).map(({ key }) => [key.pk, key]));
  const rows = await Promise.all([...keys.values()].map((key) => table.get(key)));
  return rows.flatMap((row) => (row ? [asBatch(row)] : []));
}
