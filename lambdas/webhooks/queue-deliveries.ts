import type { TenantId } from '../../contract/common.ts';
import type { Event } from '../../contract/events.ts';
import { DELIVERY_LIFETIME_SECONDS } from '../../contract/limits.ts';
import { WebhookEvent } from '../../contract/webhooks.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { QueueConsumer } from '../../platform/ports/queue.ts';
import type { Item, Table } from '../../platform/ports/table.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import {
  asWebhook,
  type DeliveryRecord,
  deliveriesPk,
  deliveryKey,
  dueIndex,
  type WebhookRecord,
  webhooksPk,
} from './records.ts';

/** More than a tenant may have. */
const PAGE = 100;

/** Stores a message for each webhook that wants an event. An event that comes again is stored once. */
export function queueDeliveries({ table, clock }: { table: Table; clock: Clock }): QueueConsumer<Event> {
  return async (events) => {
    const webhooksOf = new Map<TenantId, Promise<readonly WebhookRecord[]>>();
    for (const event of events) {
      const type = WebhookEvent.safeParse(event.type).data;
      if (!type) continue;
      const reading = webhooksOf.get(event.tenant_id) ?? readWebhooks(table, event.tenant_id);
      webhooksOf.set(event.tenant_id, reading);
      for (const webhook of await reading) {
        if (!webhook.enabled || !webhook.events.includes(type)) continue;
        await table.write({ op: 'put', item: newDelivery(webhook, type, event, clock.now()), unlessExists: true });
      }
    }
    return undefined;
  };
}

async function readWebhooks(table: Table, tenantId: TenantId): Promise<readonly WebhookRecord[]> {
  return (await table.query({ pk: webhooksPk(tenantId), limit: PAGE })).items.map(asWebhook);
}

function newDelivery({ tenant_id, webhook_id }: WebhookRecord, type: WebhookEvent, event: Event, now: Date): Item {
  const delivery: DeliveryRecord = {
    tenant_id,
    webhook_id,
    delivery_id: event.id,
    type,
    state: 'pending',
    created_at: now.toISOString(),
    tries: 0,
    attempts: [],
    body: JSON.stringify(event),
  };
  return {
    ...deliveryKey(tenant_id, webhook_id, event.id),
    ...(delivery as Omit<DeliveryRecord, 'attempts'> & { attempts: [] }),
    ...dueIndex(event.id, now.getTime()),
    g1pk: deliveriesPk(tenant_id, webhook_id),
    g1sk: `${delivery.created_at}#${event.id}`,
    ttl: ttlAfter(now, DELIVERY_LIFETIME_SECONDS),
  };
}
