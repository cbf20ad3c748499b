import type { JobId, TenantId } from '../../contract/common.ts';
import type { Logged } from '../../contract/event.ts';
import type { JobEvent } from '../../contract/events/jobs.ts';
import type { Table } from '../../platform/ports/table.ts';
import { eventKey, loggedEvent } from '../runtime/event-rows.ts';
import { longPoll } from '../runtime/long-poll.ts';
import type { JobsDeps } from './deps.ts';
import { type JobRecord, jobKey, readProgress } from './records.ts';
import { hasEnded } from './transitions.ts';

interface EventsQuery {
  readonly after?: string | undefined;
  readonly wait_seconds: number;
  readonly limit: number;
}

/** A job's events after a cursor, with a long poll that ends early when the job has ended and its last event is there. */
export function listEvents(
  { table }: JobsDeps,
  { tenant_id, job_id }: JobRecord,
  { after, wait_seconds: waitSeconds, limit }: EventsQuery,
  signal?: AbortSignal,
) {
  const look = async () => {
    const { items, ended } = await readJobEvents(table, tenant_id, job_id, { after, limit });
    return { items, ended, cursor: items.at(-1)?.cursor ?? after };
  };
  return longPoll(look, { waitSeconds, signal });
}

/** The events told of a job after a cursor. `ended`: the job has ended, and these are the last. */
export async function readJobEvents(
  table: Table,
  tenantId: TenantId,
  jobId: JobId,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ items: Logged<JobEvent>[]; ended: boolean }> {
  const { pk, sk: prefix } = eventKey(jobKey(tenantId, jobId).pk, '');
  const position = after === undefined ? {} : { after: `${prefix}${after}` };
  const told = await readProgress(table, tenantId, jobId);
  const hasMore = told?.last_event && (after === undefined || told.last_event > after);
  const page = hasMore ? await table.query({ pk, prefix, limit, ...position }) : { items: [] };
  const items = page.items.map((item) => loggedEvent(item) as Logged<JobEvent>);
  const ended = told?.published_state !== undefined && hasEnded(told.published_state);
  return { items, ended: ended && (items.length === 0 || items.at(-1)?.cursor === told.last_event) };
}
