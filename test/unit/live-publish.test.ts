import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JobId } from '../../contract/common.ts';
import { type Event, PUBLISHED_TYPES } from '../../contract/events.ts';
import { jobKey } from '../../lambdas/jobs/records.ts';
import { openConnection } from '../../lambdas/live/connections.ts';
import { handleMessage } from '../../lambdas/live/messages.ts';
import { publishEvents } from '../../lambdas/live/publish-events.ts';
import { addedEvent, eventItem } from '../../lambdas/runtime/event-rows.ts';
import type { QueueMessage } from '../../platform/ports/queue.ts';
import type { Change } from '../../platform/ports/table.ts';
import { type LiveWorld, openLiveWorld, tenant } from '../support/live-world.ts';

const job = JobId.parse('job_01J00000000000000000000000');

let world: LiveWorld;
beforeEach(() => {
  world = openLiveWorld();
});
afterEach(() => world.close());

const eventOf = (change: Change) => addedEvent(change)?.event;

function progress(cursor: string): Change {
  const now = world.clock.now();
  const event: Event = {
    id: `${job}-${cursor}`,
    type: 'job.progress',
    time: now.toISOString(),
    tenant_id: tenant,
    data: { job_id: job, progress: { percent: 50, phase: 'work', completed_tasks: 1, total_tasks: 2 } },
  };
  const after = eventItem(jobKey(tenant, job).pk, event, { cursor, follows: undefined, now });
  return { seq: cursor, key: after, after };
}

function collector() {
  const sent: QueueMessage[] = [];
  return { sent, queue: { send: async (messages: readonly QueueMessage[]) => void sent.push(...messages) } };
}

async function subscribe(connectionId: string): Promise<void> {
  const caller = async () => world.callerOf(tenant);
  await openConnection(world.deps, caller, { connectionId, protocols: 'millrace.v1, bearer.good' });
  await handleMessage(world.deps, connectionId, JSON.stringify({ type: 'subscribe', topic: 'tenant' }));
}

describe('the publisher of events', () => {
  test('gives connections, the bus and the consumers of its type the same event, and progress to connections alone', async () => {
    await subscribe('c1');
    const changes = [world.jobEvent(job, 'running'), progress('0000000000000009'), world.jobEvent(job, 'completed')];
    const [running, , completed] = changes.map(eventOf);
    const bus: Event[] = [];
    const all = collector();
    const some = collector();
    const consumers = [
      { types: PUBLISHED_TYPES, queue: all.queue },
      { types: ['job.completed', 'job.progress'], queue: some.queue },
    ];
    const publish = publishEvents(world.deps, {
      bus: { publish: async (events) => void bus.push(...events) },
      consumers,
    });
    await publish(changes);
    expect(bus).toEqual([running, completed]);
    expect(all.sent).toEqual([running, completed]);
    expect(some.sent).toEqual([completed]);
    const pushed = (world.sent.get('c1') ?? []).flatMap(({ items = [] }) => items as { cursor?: string }[]);
    expect(pushed.map(({ cursor: _, ...event }) => event)).toEqual(changes.map(eventOf));
  });

  test('passes on no row that is no new event, and calls nobody for it', async () => {
    const { after, ...change } = world.jobEvent(job, 'running');
    const refuse = () => Promise.reject(new Error('called'));
    const consumers = [{ types: PUBLISHED_TYPES, queue: { send: refuse } }];
    const publish = publishEvents(world.deps, { bus: { publish: refuse }, consumers });
    const other = { ...change, key: { ...change.key, sk: 'JOB' } };
    const passed = publish([
      { ...change, before: after as never },
      { ...change, before: after as never, after: after as never },
      { ...other, after: { ...(after as object), ...other.key } },
      progress('0000000000000009'),
    ]);
    await expect(passed).resolves.toBeUndefined();
  });

  test('fails when a consumer does not get an event, so that the change comes again', async () => {
    const consumers = [{ types: PUBLISHED_TYPES, queue: { send: () => Promise.reject(new Error('busy')) } }];
    const publish = publishEvents(world.deps, { bus: { publish: async () => {} }, consumers });
    await expect(publish([world.jobEvent(job, 'running')])).rejects.toThrow('busy');
  });
});
