import type { Item, Table, TransactResult, Write } from '../../platform/ports/table.ts';
import { EVENT, upgradeEventRow } from '../runtime/old-event-rows.ts';

/**
 * How a run's number is stored. Functions of data version 1 know it as `leg`; a deployment replaces functions stack by stack,
 * and those of a workflow, which compare the number, come after those of this context. So the old name is written beside
 * the new one until nobody updates from there any more (decision 0018).
 */
export function runNumber(run: number): { readonly run: number; readonly leg: number } {
  return { run, leg: run };
}

/** A row of the jobs' table as it is stored now. A row of data version 1 is brought into that form, any other returned as it is. */
export function upgradeRow(item: Item): Item {
  if (item.sk === 'JOB') return upgradeJob(item);
  if (item.sk.startsWith(EVENT)) return upgradeEventRow(item);
  return item.sk === 'PROGRESS' ? upgradeProgress(item) : item;
}

/** Functions of data version 1 write `leg` alone, also to a row that has `run`: so `leg` holds where the two differ. */
export function upgradeJob(item: Item): Item {
  if (!isOldJob(item)) return item;
  const { leg, marketplace, ...job } = item;
  return { ...job, ...runNumber(Number(leg)), ...(marketplace !== undefined && { label: marketplace }) } as Item;
}

/** Progress as the change feed stores it. */
export function upgradeProgress(item: Item): Item {
  const { told_state, untold_seq, ...progress } = item;
  if (told_state === undefined && untold_seq === undefined) return item;
  return {
    ...progress,
    ...(told_state !== undefined && { published_state: told_state }),
    ...(untold_seq !== undefined && { pending_progress_seq: untold_seq }),
  } as Item;
}

/** The `job` of an execution's input, which the state machines pass to each task. */
export function upgradeExecution(job: unknown): unknown {
  return job !== null && typeof job === 'object' && 'leg' in job ? { run: job.leg, ...job } : job;
}

/**
 * `transact` with conditions on `run`. A job's row of data version 1 is rewritten first, when its condition
 * failed; then the writes are tried again.
 */
export async function transactOnJobs(table: Table, writes: readonly Write[]): Promise<TransactResult> {
  const result = await table.transact(writes);
  if (result.ok) return result;
  const old = result.failed.flatMap(({ item }) => (item?.sk === 'JOB' && isOldJob(item) ? [item] : []));
  if (old.length === 0) return result;
  for (const item of old) await rewriteJob(table, item);
  return transactOnJobs(table, writes);
}

function isOldJob({ run, leg }: Item): boolean {
  return leg !== undefined && leg !== run;
}

/** Does nothing if the row has changed since: the writes that follow see what it is now. */
async function rewriteJob(table: Table, item: Item): Promise<void> {
  const { pk, sk, attempt, leg } = item;
  const { run, label } = upgradeJob(item);
  await table.write({
    op: 'update',
    key: { pk, sk },
    if: { attempt: Number(attempt), leg: Number(leg) },
    set: { run: Number(run), ...(label !== undefined && { label }) },
    remove: ['marketplace'],
  });
}
