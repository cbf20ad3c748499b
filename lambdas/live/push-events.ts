import type { TenantId } from '../../contract/common.ts';
import type { LiveEvent, ServerMessage } from '../../contract/live.ts';
import type { Change, ChangeConsumer } from '../../platform/ports/table.ts';
import { parseJobPk } from '../jobs/records.ts';
import { eventView } from '../jobs/views.ts';
import { uploadEventView } from '../uploads/events.ts';
import { parseUploadPk } from '../uploads/records.ts';
import { expire, forgetConnection } from './connections.ts';
import type { LiveDeps } from './deps.ts';
import { asSubscription, type SubscriptionRecord, topicPk } from './records.ts';
import { inMessages, say } from './say.ts';

const PAGE = 1_000;

/** An event as it was kept by the jobs or the uploads, and the cursor of the one before it. */
export interface ToldEvent {
  readonly tenantId: TenantId;
  readonly event: LiveEvent;
  readonly follows: string | undefined;
}

/** The event that a change of the jobs or uploads table is; undefined for what is none, or was told before. */
export function toldEvent({ key, before, after }: Change): ToldEvent | undefined {
  if (!after || before || !key.sk.startsWith('EVENT#')) return undefined;
  const follows = after.follows === undefined ? undefined : String(after.follows);
  const job = parseJobPk(key.pk);
  if (job) return { tenantId: job.tenantId, event: eventView(after, job.jobId), follows };
  const upload = parseUploadPk(key.pk);
  return upload && { tenantId: upload.tenantId, event: uploadEventView(after, upload.uploadId), follows };
}

/** Tells the connections that have subscribed. What comes again is told again: clients drop what they have seen. */
export function pushEvents(deps: LiveDeps): ChangeConsumer {
  return async (changes) => {
    const topics = new Map<string, { tenantId: TenantId; topic: string; events: ToldEvent[] }>();
    for (const told of changes.map(toldEvent)) {
      if (!told) continue;
      for (const topic of topicsOf(told.event)) {
        const pk = topicPk(told.tenantId, topic);
        const entry = topics.get(pk) ?? { tenantId: told.tenantId, topic, events: [] };
        topics.set(pk, entry);
        entry.events.push(told);
      }
    }
    await Promise.all(Array.from(topics.values(), (topic) => pushTopic(deps, topic)));
    return undefined;
  };
}

function topicsOf(event: LiveEvent): string[] {
  if ('upload_id' in event) return [event.upload_id, 'tenant'];
  return [event.job_id, 'tenant', ...(event.batch_id ? [event.batch_id] : [])];
}

async function pushTopic(
  deps: LiveDeps,
  { tenantId, topic, events }: { tenantId: TenantId; topic: string; events: readonly ToldEvent[] },
): Promise<void> {
  const messages = inMessages(events).map((some) => {
    const [first] = some;
    // Only the events of one job or upload follow on each other.
    const isOne = first && topicsOf(first.event)[0] === topic;
    const after = isOne && first.follows !== undefined ? { after: first.follows } : {};
    const message: ServerMessage = { type: 'events', topic, ...after, items: some.map(({ event }) => event) };
    return say(message);
  });
  let cursor: string | undefined;
  do {
    const page = await deps.connections.query({
      pk: topicPk(tenantId, topic),
      limit: PAGE,
      ...(cursor ? { cursor } : {}),
    });
    await Promise.all(page.items.map((item) => tellAll(deps, asSubscription(item), messages)));
    cursor = page.cursor;
  } while (cursor);
}

async function tellAll(
  deps: LiveDeps,
  { connection_id, until }: SubscriptionRecord,
  messages: readonly string[],
): Promise<void> {
  if (until <= deps.clock.now().getTime()) return expire(deps, connection_id);
  for (const message of messages) {
    if (await deps.push.send(connection_id, message)) continue;
    return forgetConnection(deps, connection_id);
  }
}
