import { createHash } from 'node:crypto';
import type { TenantId, WebhookId } from '../../contract/common.ts';
import type { DeliveryAttempt, Webhook, WebhookDelivery, WebhookEvent } from '../../contract/webhooks.ts';
import type { Item, Key, Table } from '../../platform/ports/table.ts';
import { upgradeRow } from './upgrade-row.ts';

/** A webhook, as it is kept; its secrets are not with it. */
export type WebhookRecord = {
  readonly tenant_id: TenantId;
  readonly webhook_id: WebhookId;
  readonly url: string;
  readonly events: readonly WebhookEvent[];
  readonly description?: string;
  readonly enabled: boolean;
  readonly created_at: string;
  readonly failing_since?: string;
};

/** A message to a webhook, as it is kept. */
export type DeliveryRecord = {
  readonly tenant_id: TenantId;
  readonly webhook_id: WebhookId;
  readonly delivery_id: string;
  readonly type: WebhookEvent;
  readonly state: 'pending' | 'delivered' | 'failed';
  readonly created_at: string;
  readonly delivered_at?: string;
  /** Attempts begun since it was made, or was to be delivered again. */
  readonly tries: number;
  /** Of a pending one, epoch milliseconds: when it is to be tried, or, while it is, when somebody else may. */
  readonly due_at?: number;
  readonly attempts: readonly DeliveryAttempt[];
  readonly body: string;
};

export const webhooksPk = (tenantId: TenantId) => `T#${tenantId}#WEBHOOKS`;
export const webhookKey = (tenantId: TenantId, webhookId: string): Key => ({ pk: webhooksPk(tenantId), sk: webhookId });
export const deliveryKey = (tenantId: TenantId, webhookId: string, deliveryId: string): Key => ({
  pk: deliveriesPk(tenantId, webhookId),
  sk: `${DELIVERY}${deliveryId}`,
});
export const DELIVERY = 'DELIVERY#';
/** A webhook's messages; in `g1` by time. */
export const deliveriesPk = (tenantId: TenantId, webhookId: string) => `T#${tenantId}#W#${webhookId}`;
/** Where a webhook's secrets are. */
export const secretName = (tenantId: TenantId, webhookId: string) => `webhooks/${tenantId}/${webhookId}`;

export const DUE_SHARDS = 4;
export const duePk = (shard: number) => `DUE#${shard}`;

/** Puts a message into the index of those that are to be tried. */
export function dueIndex(deliveryId: string, dueAt: number): { due_at: number; g2pk: string; g2sk: string } {
  const shard = (createHash('sha256').update(deliveryId).digest()[0] ?? 0) % DUE_SHARDS;
  return { due_at: dueAt, g2pk: duePk(shard), g2sk: `${String(dueAt).padStart(15, '0')}#${deliveryId}` };
}

export const asWebhook = (item: Item) => item as unknown as WebhookRecord;
export const asDelivery = (item: Item) => upgradeRow(item) as unknown as DeliveryRecord;

export async function readWebhook(
  table: Table,
  tenantId: TenantId,
  webhookId: string,
): Promise<WebhookRecord | undefined> {
  const item = await table.get(webhookKey(tenantId, webhookId));
  return item && asWebhook(item);
}

export function webhookView({ webhook_id, ...webhook }: WebhookRecord): Webhook {
  const { url, events, description, enabled, created_at, failing_since } = webhook;
  return { id: webhook_id, url, events: [...events], description, enabled, created_at, failing_since };
}

export function deliveryView({ delivery_id, webhook_id, due_at, body, ...delivery }: DeliveryRecord): WebhookDelivery {
  const { type, state, created_at, delivered_at, attempts } = delivery;
  return {
    id: delivery_id,
    webhook_id,
    type,
    state,
    created_at,
    next_attempt_at: due_at === undefined ? undefined : new Date(due_at).toISOString(),
    delivered_at,
    attempts: [...attempts],
    payload: JSON.parse(body) as unknown,
  };
}
