import * as z from 'zod/mini';
import { PageQuery, pageOf, WebhookId } from '../common.ts';
import { context } from '../context.ts';
import { CreatedWebhook, RotatedSecret, RotateSecret, Webhook, WebhookDelivery, WriteWebhook } from '../webhooks.ts';
import { route } from './route.ts';

const webhookParams = z.object({ webhook_id: WebhookId });

/** Addresses that events are sent to. */
export const webhooksRoutes = {
  createWebhook: route({
    method: 'POST',
    path: '/webhooks',
    summary: 'Have an address told what happens, in messages signed as Standard Webhooks',
    auth: 'webhooks:write',
    body: WriteWebhook,
    responses: { 201: CreatedWebhook },
    errors: ['QuotaExceededError'],
  }),
  listWebhooks: route({
    method: 'GET',
    path: '/webhooks',
    summary: 'List webhooks, newest first',
    auth: 'webhooks:write',
    query: PageQuery,
    responses: { 200: pageOf(Webhook) },
    errors: ['InvalidCursorError'],
  }),
  getWebhook: route({
    method: 'GET',
    path: '/webhooks/{webhook_id}',
    summary: 'A webhook',
    auth: 'webhooks:write',
    params: webhookParams,
    responses: { 200: Webhook },
    errors: ['WebhookNotFoundError'],
  }),
  updateWebhook: route({
    method: 'PUT',
    path: '/webhooks/{webhook_id}',
    summary: 'Replace what a webhook is; its secret stays',
    auth: 'webhooks:write',
    params: webhookParams,
    body: WriteWebhook,
    responses: { 200: Webhook },
    errors: ['WebhookNotFoundError'],
  }),
  deleteWebhook: route({
    method: 'DELETE',
    path: '/webhooks/{webhook_id}',
    summary: 'Delete a webhook; what waits for it is not sent',
    auth: 'webhooks:write',
    params: webhookParams,
    responses: { 204: null },
    errors: ['WebhookNotFoundError'],
  }),
  rotateWebhookSecret: route({
    method: 'POST',
    path: '/webhooks/{webhook_id}/rotate-secret',
    summary: 'Give a webhook a new secret; for some hours messages carry the signatures of both',
    auth: 'webhooks:write',
    params: webhookParams,
    body: RotateSecret,
    responses: { 200: RotatedSecret },
    errors: ['WebhookNotFoundError'],
  }),
  listWebhookDeliveries: route({
    method: 'GET',
    path: '/webhooks/{webhook_id}/deliveries',
    summary: 'Messages to a webhook and their attempts, newest first',
    auth: 'webhooks:write',
    params: webhookParams,
    query: PageQuery,
    responses: { 200: pageOf(WebhookDelivery) },
    errors: ['WebhookNotFoundError', 'InvalidCursorError'],
  }),
  redeliverWebhook: route({
    method: 'POST',
    path: '/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver',
    summary: 'Send a message again, whatever became of it',
    auth: 'webhooks:write',
    params: z.extend(webhookParams, { delivery_id: z.string().check(z.regex(/^[\w-]{1,128}$/)) }),
    responses: { 202: WebhookDelivery },
    errors: ['DeliveryNotFoundError', 'WebhookNotFoundError'],
  }),
} as const;

export const webhooks = context({
  name: 'webhooks',
  description: 'Addresses that events are sent to, in messages signed as Standard Webhooks.',
  routes: webhooksRoutes,
  table: { storedName: 'live' },
  feed: {
    description: 'Sends new messages to webhooks',
    prefixes: ['DELIVERY#'],
    // 100 messages, 10 at once, of 10 s at most.
    timeoutSeconds: 180,
  },
  schedules: {
    resend: {
      description: 'Sends messages to webhooks whose next attempt is due',
      everySeconds: 60,
      embeddedEverySeconds: 2,
      // 4 shards of as many.
      timeoutSeconds: 600,
    },
  },
  settings: ['webhooksToPrivate'],
});
