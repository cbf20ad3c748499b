import { setTimeout } from 'node:timers/promises';
import type { JobEvent } from '../../contract/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { eventKey, type JobRecord, readProgress } from './records.ts';
import { hasEnded } from './transitions.ts';
import { eventView } from './views.ts';

const POLL_MS = 250;

interface EventsQuery {
  readonly after?: string | undefined;
  readonly wait: number;
  readonly limit: number;
}

/**
 * A job's events after a cursor; `wait`: seconds to wait for one if there is none yet. Waiting ends early when the job
 * has ended and all of it has been told.
 */
export async function listEvents(deps: JobsDeps, job: JobRecord, { after, wait, limit }: EventsQuery) {
  const { pk, sk: prefix } = eventKey(job.tenant_id, job.job_id, '');
  const position = after === undefined ? {} : { after: `${prefix}${after}` };
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const told = await readProgress(deps.table, job.tenant_id, job.job_id);
    if (told?.last_event && (after === undefined || told.last_event > after)) {
      const page = await deps.table.query({ pk, prefix, limit, ...position });
      if (page.items.length > 0) return eventsPage(page.items.map((item) => eventView(item, job)));
    }
    const ended = told?.told_state !== undefined && hasEnded(told.told_state);
    if (ended || waitedMs >= wait * 1_000) return { items: [], ...(after === undefined ? {} : { next_cursor: after }) };
    await setTimeout(POLL_MS);
  }
}

function eventsPage(items: JobEvent[]) {
  const last = items.at(-1);
  return { items, ...(last ? { next_cursor: last.cursor } : {}) };
}
