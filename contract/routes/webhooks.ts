import * as z from 'zod/mini';
import { PageQuery, pageOf, WebhookId } from '../common.ts';
import { context } from '../context.ts';
import { PUBLISHED_TYPES } from '../events.ts';
import { CreatedWebhook, RotatedSecret, RotateSecret, Webhook, WebhookDelivery, WriteWebhook } from '../webhooks.ts';
import { route } from './route.ts';

const webhookParams = z.object({ webhook_id: WebhookId });

/** Addresses that events are sent to. */
const webhooksRoutes = {
  createWebhook: route({
    method: 'POST',
    path: '/webhooks',
    summary: 'Create a webhook, whose messages are signed as Standard Webhooks',
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
    summary: 'Get a webhook',
    auth: 'webhooks:write',
    params: webhookParams,
    responses: { 200: Webhook },
    errors: ['WebhookNotFoundError'],
  }),
  updateWebhook: route({
    method: 'PUT',
    path: '/webhooks/{webhook_id}',
    summary: 'Replace the settings of a webhook; its secret stays',
    auth: 'webhooks:write',
    params: webhookParams,
    body: WriteWebhook,
    responses: { 200: Webhook },
    errors: ['WebhookNotFoundError'],
  }),
  deleteWebhook: route({
    method: 'DELETE',
    path: '/webhooks/{webhook_id}',
    summary: 'Delete a webhook; pending messages are not sent',
    auth: 'webhooks:write',
    params: webhookParams,
    responses: { 204: null },
    errors: ['WebhookNotFoundError'],
  }),
  rotateWebhookSecret: route({
    method: 'POST',
    path: '/webhooks/{webhook_id}/rotate-secret',
    summary: 'Rotate the secret of a webhook; messages carry both signatures during the overlap',
    auth: 'webhooks:write',
    params: webhookParams,
    body: RotateSecret,
    responses: { 200: RotatedSecret },
    errors: ['WebhookNotFoundError'],
  }),
  listWebhookDeliveries: route({
    method: 'GET',
    path: '/webhooks/{webhook_id}/deliveries',
    summary: 'List messages to a webhook and their attempts, newest first',
    auth: 'webhooks:write',
    params: webhookParams,
    query: PageQuery,
    responses: { 200: pageOf(WebhookDelivery) },
    errors: ['WebhookNotFoundError', 'InvalidCursorError'],
  }),
  redeliverWebhook: route({
    method: 'POST',
    path: '/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver',
    summary: 'Send a message again, whatever its state',
    auth: 'webhooks:write',
    params: z.extend(webhookParams, { delivery_id: z.string().check(z.regex(/^[\w-]{1,128}$/)) }),
    responses: { 202: WebhookDelivery },
    errors: ['DeliveryNotFoundError', 'WebhookNotFoundError'],
  }),
} as const;

export const webhooks = context({
  name: 'webhooks',
  description: 'URLs that receive events, in messages signed as Standard Webhooks.',
  routes: webhooksRoutes,
  table: { storedName: 'live' },
  feed: {
    description: 'Sends new messages to webhooks',
    prefixes: ['DELIVERY#'],
    // 100 messages, 10 at once, of 10 s at most.
    timeoutSeconds: 180,
  },
  consumes: { description: 'Stores a message for each webhook that wants an event', types: PUBLISHED_TYPES },
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
