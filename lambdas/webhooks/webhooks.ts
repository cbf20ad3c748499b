import type { TenantId, WebhookId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import { MAX_WEBHOOKS_PER_TENANT } from '../../contract/limits.ts';
import type { WriteWebhook } from '../../contract/webhooks.ts';
import { validationError } from '../runtime/validation.ts';
import { problemOfUrl } from './post-safely.ts';
import {
  asDelivery,
  type DeliveryRecord,
  deliveryKey,
  dueIndex,
  readWebhook,
  secretName,
  type WebhookRecord,
  webhookKey,
  webhooksPk,
} from './records.ts';
import { createSecret, rotateSecret } from './secrets.ts';
import type { WebhookDeps } from './send-deliveries.ts';

export async function createWebhook(
  deps: WebhookDeps,
  tenantId: TenantId,
  body: WriteWebhook,
): Promise<{ webhook: WebhookRecord; secret: string }> {
  const { table, clock, secrets } = deps;
  await checkUrl(deps, body.url);
  const { items } = await table.query({ pk: webhooksPk(tenantId), limit: MAX_WEBHOOKS_PER_TENANT });
  if (items.length >= MAX_WEBHOOKS_PER_TENANT) {
    throw new DomainError(
      'QuotaExceededError',
      `a tenant can have at most ${MAX_WEBHOOKS_PER_TENANT} webhooks: delete one first`,
    );
  }
  const webhook: WebhookRecord = {
    tenant_id: tenantId,
    webhook_id: `wh_${clock.newId()}` as WebhookId,
    ...fieldsOf(body),
    created_at: clock.now().toISOString(),
  };
  // A webhook is told nothing without a secret: so that comes first.
  const secret = await createSecret(secrets, secretName(tenantId, webhook.webhook_id));
  await table.write({ op: 'put', item: { ...webhookKey(tenantId, webhook.webhook_id), ...webhook } });
  return { webhook, secret };
}

export async function findWebhook({ table }: WebhookDeps, tenantId: TenantId, id: WebhookId): Promise<WebhookRecord> {
  const webhook = await readWebhook(table, tenantId, id);
  if (!webhook) throw notFound(id);
  return webhook;
}

export async function updateWebhook(
  deps: WebhookDeps,
  tenantId: TenantId,
  id: WebhookId,
  body: WriteWebhook,
): Promise<WebhookRecord> {
  const before = await findWebhook(deps, tenantId, id);
  await checkUrl(deps, body.url);
  const { created_at } = before;
  const webhook: WebhookRecord = { tenant_id: tenantId, webhook_id: id, ...fieldsOf(body), created_at };
  const item = { ...webhookKey(tenantId, id), ...webhook };
  const { ok } = await deps.table.write({ op: 'put', item, if: { created_at } });
  if (!ok) throw notFound(id);
  return webhook;
}

export async function deleteWebhook({ table, secrets }: WebhookDeps, tenantId: TenantId, id: WebhookId): Promise<void> {
  const key = webhookKey(tenantId, id);
  const { ok } = await table.write({ op: 'delete', key, if: { created_at: { present: true } } });
  if (!ok) throw notFound(id);
  await secrets.delete(secretName(tenantId, id));
}

export async function rotateWebhookSecret(
  deps: WebhookDeps,
  tenantId: TenantId,
  id: WebhookId,
  overlapHours: number,
): Promise<{ secret: string; previous_valid_until: string }> {
  await findWebhook(deps, tenantId, id);
  const until = deps.clock.now().getTime() + overlapHours * 3_600_000;
  const secret = await rotateSecret(deps.secrets, secretName(tenantId, id), until);
  return { secret, previous_valid_until: new Date(until).toISOString() };
}

/** Begins with a message as if it were new; what was tried of it stays in its log. */
export async function redeliver(
  deps: WebhookDeps,
  tenantId: TenantId,
  id: WebhookId,
  deliveryId: string,
): Promise<DeliveryRecord> {
  await findWebhook(deps, tenantId, id);
  const result = await deps.table.write({
    op: 'update',
    key: deliveryKey(tenantId, id, deliveryId),
    if: { created_at: { present: true } },
    set: { state: 'pending', tries: 0, ...dueIndex(deliveryId, deps.clock.now().getTime()) },
    remove: ['delivered_at'],
  });
  if (!result.ok || !result.item) {
    throw new DomainError('DeliveryNotFoundError', `webhook ${id} has no delivery ${deliveryId}`);
  }
  return asDelivery(result.item);
}

function fieldsOf({ url, events, description, enabled }: WriteWebhook) {
  return { url, events, enabled, ...(description === undefined ? {} : { description }) };
}

async function checkUrl(deps: WebhookDeps, url: string): Promise<void> {
  const problem = await problemOfUrl(url, deps);
  if (problem) throw validationError([{ field: 'url', problem }]);
}

function notFound(id: WebhookId): DomainError {
  return new DomainError('WebhookNotFoundError', `webhook ${id} does not exist`);
}
