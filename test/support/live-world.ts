import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobId, TenantId } from '../../contract/common.ts';
import { JobEvent } from '../../contract/events/jobs.ts';
import { type Event, PUBLISHED_TYPES } from '../../contract/events.ts';
import type { JobState } from '../../contract/jobs.ts';
import { jobKey } from '../../lambdas/jobs/records.ts';
import { createLiveHandlers } from '../../lambdas/live/handlers.ts';
import { publishEvents } from '../../lambdas/live/publish-events.ts';
import type { Caller } from '../../lambdas/runtime/api.ts';
import { eventItem } from '../../lambdas/runtime/event-rows.ts';
import { createLog } from '../../lambdas/runtime/log.ts';
import { createWebhooksHandlers } from '../../lambdas/webhooks/handlers.ts';
import { queueDeliveries } from '../../lambdas/webhooks/queue-deliveries.ts';
import { FileSecrets } from '../../platform/embedded/file-secrets.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { changesTableOf, SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import type { QueueMessage } from '../../platform/ports/queue.ts';
import type { Change, Item } from '../../platform/ports/table.ts';
import { TestClock } from './test-clock.ts';

export const tenant = 'acme' as TenantId;
export const otherTenant = 'zeta' as TenantId;

/** The contexts live and webhooks on the embedded platform, in memory, with time and what is pushed in the test's hand. */
export function openLiveWorld({ allowPrivate = true }: { allowPrivate?: boolean } = {}) {
  const database = openDatabase(':memory:');
  const open = (name: string) => new SqliteTable({ database, name, changes: true });
  const [connections, table, jobs, uploads] = [open('connections'), open('live'), open('jobs'), open('uploads')];
  const folder = mkdtempSync(join(tmpdir(), 'millrace-live-'));
  const clock = new TestClock();
  const sent = new Map<string, Record<string, unknown>[]>();
  const closed = new Map<string, number>();
  const gone = new Set<string>();
  const push = {
    send: async (connectionId: string, message: string) => {
      if (gone.has(connectionId) || closed.has(connectionId)) return false;
      sent.set(connectionId, [...(sent.get(connectionId) ?? []), JSON.parse(message)]);
      return true;
    },
    close: async (connectionId: string, code: number) => void closed.set(connectionId, code),
  };
  const secrets = new FileSecrets({ folder });
  const tables = { table, connections, jobs, uploads };
  const deps = { ...tables, push, secrets, clock, log: createLog({}, () => {}), allowPrivate };
  const handlers = { ...createLiveHandlers({ websocketUrl: () => undefined }), ...createWebhooksHandlers(deps) };
  const callerOf = (tenantId: TenantId): Caller => ({
    tenantId,
    principalId: 'key_test',
    role: 'owner',
    scopes: ['jobs:read', 'uploads:read', 'webhooks:write'],
    root: false,
  });

  const published: Event[] = [];
  /** Of a queue that loses nothing and repeats nothing. */
  const queue = {
    send: async (messages: readonly QueueMessage[]) => void (await queueDeliveries(deps)(messages as readonly Event[])),
  };
  /** Has the publisher consume changes, and webhooks what it sends them. */
  const publish = publishEvents(deps, {
    bus: { publish: async (events) => void published.push(...events) },
    consumers: [{ types: PUBLISHED_TYPES, queue }],
  });

  /** The changes of a table since it was asked last. */
  let seq = 0;
  function changesOf(name: 'live' | 'jobs'): Change[] {
    const rows = database.prepare(`SELECT seq, before, after FROM ${changesTableOf(name)} ORDER BY seq`).all();
    database.exec(`DELETE FROM ${changesTableOf(name)}`);
    return rows.map((row) => {
      const image = (body: unknown) => (body === null ? undefined : (JSON.parse(String(body)) as Item));
      const [before, after] = [image(row.before), image(row.after)];
      const { pk, sk } = (after ?? before) as Item;
      return {
        seq: String(row.seq).padStart(16, '0'),
        key: { pk, sk },
        ...(before && { before }),
        ...(after && { after }),
      };
    });
  }

  return {
    ...deps,
    deps,
    handlers,
    sent,
    closed,
    gone,
    callerOf,
    changesOf,
    publish,
    published,
    request: (body: object = {}, params: object = {}, tenantId = tenant) =>
      ({ caller: callerOf(tenantId), body, params, query: { limit: 50 }, headers: {}, requestId: 'r' }) as never,
    /** What a job's change of state is in the feed of the jobs table. */
    jobEvent(
      jobId: JobId,
      state: Exclude<JobState, 'creating'>,
      { follows, ...more }: { readonly follows?: string; readonly [field: string]: unknown } = {},
      tenantId = tenant,
    ): Change {
      seq += 1;
      const now = clock.now();
      const event = JobEvent.parse({
        id: `${jobId}-${seq}-${state}`,
        type: `job.${state}`,
        time: now.toISOString(),
        tenant_id: tenantId,
        data: { job_id: jobId, workflow: 'line', state, attempt: 1, ...more },
      });
      const cursor = String(seq).padStart(16, '0');
      const after = eventItem(jobKey(tenantId, jobId).pk, event, { cursor, follows, now });
      const { pk, sk } = after;
      return { seq: String(seq), key: { pk, sk }, after };
    },
    close() {
      database.close();
      rmSync(folder, { recursive: true });
    },
  };
}
export type LiveWorld = ReturnType<typeof openLiveWorld>;
