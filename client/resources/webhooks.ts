import type { Api, QueryOf } from '../api.ts';
import type { CreatedWebhook, Page, RotatedSecret, Webhook, WebhookDelivery, WriteWebhook } from '../types.ts';

/** Addresses that are told what happens. They need a credential with `webhooks:write`. */
export class Webhooks {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** `secret` is told this once. Not repeated after a failure: a webhook whose secret nobody knows might stay behind. */
  create(webhook: WriteWebhook): Promise<CreatedWebhook> {
    return this.#api.call('createWebhook', { body: webhook }, { retrySeconds: 0 });
  }

  list(query: QueryOf<'listWebhooks'> = {}): Promise<Page<Webhook>> {
    return this.#api.call('listWebhooks', { query });
  }

  /** `WebhookNotFoundError`. */
  get(webhookId: string): Promise<Webhook> {
    return this.#api.call('getWebhook', { params: { webhook_id: webhookId } });
  }

  /** Replaces what it is; its secret stays. */
  update(webhookId: string, webhook: WriteWebhook): Promise<Webhook> {
    return this.#api.call('updateWebhook', { params: { webhook_id: webhookId }, body: webhook });
  }

  async delete(webhookId: string): Promise<void> {
    const params = { webhook_id: webhookId };
    await this.#api.call('deleteWebhook', { params }, { doneCode: 'WebhookNotFoundError' });
  }

  /** The secret before stays good for `overlapHours`, 24 when left out. Not repeated after a failure. */
  rotateSecret(webhookId: string, { overlapHours }: { overlapHours?: number } = {}): Promise<RotatedSecret> {
    const body = overlapHours === undefined ? {} : { overlap_hours: overlapHours };
    return this.#api.call('rotateWebhookSecret', { params: { webhook_id: webhookId }, body }, { retrySeconds: 0 });
  }

  /** Messages of the last 30 days and what became of them, newest first. */
  deliveries(webhookId: string, query: QueryOf<'listWebhookDeliveries'> = {}): Promise<Page<WebhookDelivery>> {
    return this.#api.call('listWebhookDeliveries', { params: { webhook_id: webhookId }, query });
  }

  /** Sends a message again, whatever became of it. `DeliveryNotFoundError`. */
  redeliver(webhookId: string, deliveryId: string): Promise<WebhookDelivery> {
    return this.#api.call('redeliverWebhook', { params: { webhook_id: webhookId, delivery_id: deliveryId } });
  }
}
