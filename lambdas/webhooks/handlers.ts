import type { Handlers } from '../runtime/api.ts';
import { nextCursor, pageQuery } from '../runtime/listing.ts';
import { asDelivery, asWebhook, deliveriesPk, deliveryView, webhooksPk, webhookView } from './records.ts';
import type { WebhookDeps } from './send-deliveries.ts';
import {
  createWebhook,
  deleteWebhook,
  findWebhook,
  redeliver,
  rotateWebhookSecret,
  updateWebhook,
} from './webhooks.ts';

export function createWebhooksHandlers(deps: WebhookDeps): Handlers<'webhooks'> {
  return {
    async createWebhook({ caller, body }) {
      const { webhook, secret } = await createWebhook(deps, caller.tenantId, body);
      return { status: 201, body: { ...webhookView(webhook), secret } };
    },

    async listWebhooks({ caller, query }) {
      const page = await deps.table.query({ ...pageQuery(query), pk: webhooksPk(caller.tenantId), descending: true });
      return { status: 200, body: { items: page.items.map(asWebhook).map(webhookView), ...nextCursor(page) } };
    },

    async getWebhook({ caller, params }) {
      return { status: 200, body: webhookView(await findWebhook(deps, caller.tenantId, params.webhook_id)) };
    },

    async updateWebhook({ caller, params, body }) {
      return { status: 200, body: webhookView(await updateWebhook(deps, caller.tenantId, params.webhook_id, body)) };
    },

    async deleteWebhook({ caller, params }) {
      await deleteWebhook(deps, caller.tenantId, params.webhook_id);
      return { status: 204 };
    },

    async rotateWebhookSecret({ caller, params, body }) {
      const rotated = await rotateWebhookSecret(deps, caller.tenantId, params.webhook_id, body.overlap_hours);
      return { status: 200, body: rotated };
    },

    async listWebhookDeliveries({ caller, params, query }) {
      const { tenantId } = caller;
      await findWebhook(deps, tenantId, params.webhook_id);
      const pk = deliveriesPk(tenantId, params.webhook_id);
      const page = await deps.table.query({ ...pageQuery(query), pk, index: 'g1', descending: true });
      return { status: 200, body: { items: page.items.map(asDelivery).map(deliveryView), ...nextCursor(page) } };
    },

    async redeliverWebhook({ caller, params }) {
      const delivery = await redeliver(deps, caller.tenantId, params.webhook_id, params.delivery_id);
      return { status: 202, body: deliveryView(delivery) };
    },
  };
}
