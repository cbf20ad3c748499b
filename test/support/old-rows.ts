import type { JobId, TenantId } from '../../contract/common.ts';
import { jobKey, progressKey } from '../../lambdas/jobs/records.ts';
import type { Conditions, Item, Key, Table, Value } from '../../platform/ports/table.ts';

/** Rewrites a job's rows as data version 1 has stored them. */
export async function makeOld(table: Table, tenantId: TenantId, jobId: JobId): Promise<void> {
  await rename(table, jobKey(tenantId, jobId), ['attempt', 'run'], { run: 'leg', label: 'marketplace' });
  await rename(table, progressKey(tenantId, jobId), ['last_seq', 'last_event'], {
    published_state: 'told_state',
    pending_progress_seq: 'untold_seq',
  });
}

export function oldJob({ run, label, ...job }: Item): Item {
  return { ...job, leg: Number(run), ...(label !== undefined && { marketplace: label }) } as Item;
}

/** Unless one of the attributes `same` changes meanwhile. */
async function rename(
  table: Table,
  key: Key,
  same: readonly string[],
  names: Readonly<Record<string, string>>,
): Promise<void> {
  const item = await table.get(key);
  if (!item) return;
  const present = Object.entries(names).filter(([name]) => item[name] !== undefined);
  if (present.length === 0) return;
  await table.write({
    op: 'update',
    key,
    if: Object.fromEntries(same.map((name) => [name, item[name] ?? { absent: true }])) as Conditions,
    set: Object.fromEntries(present.map(([name, old]) => [old, item[name] as Value])),
    remove: present.map(([name]) => name),
  });
}
