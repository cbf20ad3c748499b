import type { TenantId } from '../../contract/common.ts';
import { subjectsOf } from '../../contract/event-subjects.ts';
import type { ServerMessage } from '../../contract/live.ts';
import type { AddedEvent } from '../runtime/event-rows.ts';
import { expire, forgetConnection } from './connections.ts';
import type { LiveDeps } from './deps.ts';
import { asSubscription, type SubscriptionRecord, topicPk } from './records.ts';
import { inMessages, say } from './say.ts';

const PAGE = 1_000;

/** Pushes events to the connections that have subscribed. Clients drop what they have seen. */
export async function pushEvents(deps: LiveDeps, added: readonly AddedEvent[]): Promise<void> {
  const topics = new Map<string, { tenantId: TenantId; topic: string; events: AddedEvent[] }>();
  for (const one of added) {
    const { tenant_id: tenantId } = one.event;
    for (const topic of [...subjectsOf(one.event), 'tenant']) {
      const pk = topicPk(tenantId, topic);
      const entry = topics.get(pk) ?? { tenantId, topic, events: [] };
      topics.set(pk, entry);
      entry.events.push(one);
    }
  }
  await Promise.all(Array.from(topics.values(), (topic) => pushTopic(deps, topic)));
}

async function pushTopic(
  deps: LiveDeps,
  { tenantId, topic, events }: { tenantId: TenantId; topic: string; events: readonly AddedEvent[] },
): Promise<void> {
  // Only the events of one job or upload follow each other.
  const inOrder = events[0] !== undefined && subjectsOf(events[0].event)[0] === topic;
  const items = events.map(({ event, cursor }) => ({ ...event, cursor }));
  let at = 0;
  const messages = inMessages(items).map((some) => {
    const follows = inOrder ? events[at]?.follows : undefined;
    at += some.length;
    const after = follows === undefined ? {} : { after: follows };
    const message: ServerMessage = { type: 'events', topic, ...after, items: some };
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
