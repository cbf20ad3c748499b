import type { TenantId } from '../../contract/common.ts';
import { DELIVERY_LIFETIME_SECONDS } from '../../contract/limits.ts';
import type { LiveEvent } from '../../contract/live.ts';
import { WebhookEvent } from '../../contract/webhooks.ts';
import type { Clock } from '../../platform/ports/clock.ts';
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

interface EventOfTenant {
  readonly tenantId: TenantId;
  readonly event: LiveEvent;
}

/** Stores a message for each webhook that wants an event. An event that comes again is stored once. */
export function queueDeliveries({ table, clock }: { table: Table; clock: Clock }) {
  return async (events: readonly EventOfTenant[]): Promise<void> => {
    const webhooksOf = new Map<TenantId, Promise<readonly WebhookRecord[]>>();
    for (const { tenantId, event } of events) {
      const type = typeOf(event);
      if (!type) continue;
      const reading = webhooksOf.get(tenantId) ?? readWebhooks(table, tenantId);
      webhooksOf.set(tenantId, reading);
      for (const webhook of await reading) {
        if (!webhook.enabled || !webhook.events.includes(type)) continue;
        await table.write({ op: 'put', item: newDelivery(webhook, type, event, clock.now()), unlessExists: true });
      }
    }
  };
}

async function readWebhooks(table: Table, tenantId: TenantId): Promise<readonly WebhookRecord[]> {
  return (await table.query({ pk: webhooksPk(tenantId), limit: PAGE })).items.map(asWebhook);
}

function typeOf(event: LiveEvent): WebhookEvent | undefined {
  if (event.type === 'job.progress') return undefined;
  return WebhookEvent.safeParse(`${'upload_id' in event ? 'upload' : 'job'}.${event.state}`).data;
}

function newDelivery({ tenant_id, webhook_id }: WebhookRecord, type: WebhookEvent, event: LiveEvent, now: Date): Item {
  const { cursor, time, type: _, ...data } = event;
  const delivery_id = `${'upload_id' in event ? event.upload_id : event.job_id}-${cursor}`;
  const delivery: DeliveryRecord = {
    tenant_id,
    webhook_id,
    delivery_id,
    type,
    state: 'pending',
    created_at: now.toISOString(),
    tries: 0,
    attempts: [],
    body: JSON.stringify({ type, timestamp: time, data }),
  };
  return {
    ...deliveryKey(tenant_id, webhook_id, delivery_id),
    ...(delivery as Omit<DeliveryRecord, 'attempts'> & { attempts: [] }),
    ...dueIndex(delivery_id, now.getTime()),
    g1pk: deliveriesPk(tenant_id, webhook_id),
    g1sk: `${delivery.created_at}#${delivery_id}`,
    ttl: ttlAfter(now, DELIVERY_LIFETIME_SECONDS),
  };
}
