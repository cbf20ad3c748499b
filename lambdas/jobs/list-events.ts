import { setTimeout } from 'node:timers/promises';
import type { JobId, TenantId } from '../../contract/common.ts';
import type { JobEvent } from '../../contract/jobs.ts';
import type { Table } from '../../platform/ports/table.ts';
import type { JobsDeps } from './deps.ts';
import { eventKey, type JobRecord, readProgress } from './records.ts';
import { hasEnded } from './transitions.ts';
import { eventView } from './views.ts';

const POLL_MS = 250;

interface EventsQuery {
  readonly after?: string | undefined;
  readonly wait_seconds: number;
  readonly limit: number;
}

/**
 * A job's events after a cursor; `wait_seconds`: how long to wait for one if there is none yet. Waiting ends early when the job
 * has ended and all of it has been told.
 */
export async function listEvents(
  deps: JobsDeps,
  job: JobRecord,
  { after, wait_seconds: waitSeconds, limit }: EventsQuery,
) {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const { items, ended } = await readJobEvents(deps.table, job.tenant_id, job.job_id, { after, limit });
    const cursor = items.at(-1)?.cursor ?? after;
    if (items.length > 0 || ended || waitedMs >= waitSeconds * 1_000)
      return { items, ...(cursor === undefined ? {} : { next_cursor: cursor }) };
    await setTimeout(POLL_MS);
  }
}

/** The events told of a job after a cursor. `ended`: the job has ended, and these are the last. */
export async function readJobEvents(
  table: Table,
  tenantId: TenantId,
  jobId: JobId,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ items: JobEvent[]; ended: boolean }> {
  const { pk, sk: prefix } = eventKey(tenantId, jobId, '');
  const position = after === undefined ? {} : { after: `${prefix}${after}` };
  const told = await readProgress(table, tenantId, jobId);
  const hasMore = told?.last_event && (after === undefined || told.last_event > after);
  const page = hasMore ? await table.query({ pk, prefix, limit, ...position }) : { items: [] };
  const items = page.items.map((item) => eventView(item, jobId));
  const ended = told?.told_state !== undefined && hasEnded(told.told_state);
  return { items, ended: ended && (items.length === 0 || items.at(-1)?.cursor === told.last_event) };
}
