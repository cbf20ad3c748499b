import * as z from 'zod/mini';
import { Timestamp, WebhookId } from './common.ts';
import { PUBLISHED_TYPES, type PublishedType } from './events.ts';
import { DEFAULT_SECRET_OVERLAP_HOURS, MAX_SECRET_OVERLAP_HOURS } from './limits.ts';

/** The type of an event that webhooks can subscribe to. */
export const WebhookEvent = z.enum(PUBLISHED_TYPES);
export type WebhookEvent = PublishedType;

/** They pass by themselves: a webhook has to name them. */
const PASSING: readonly PublishedType[] = ['job.queued', 'job.cancelling', 'upload.opened', 'upload.completing'];

export const WriteWebhook = z.object({
  /** `https:` and a public address, unless the operator allows others; redirects are not followed. */
  url: z.string().check(z.maxLength(2_048)),
  /** When left out, all but those of states that pass by themselves. */
  events: z._default(
    z.array(WebhookEvent).check(z.minLength(1), z.maxLength(PUBLISHED_TYPES.length)),
    PUBLISHED_TYPES.filter((type) => !PASSING.includes(type)),
  ),
  description: z.optional(z.string().check(z.maxLength(256))),
  /** A disabled webhook is told nothing, and nothing is kept for it. */
  enabled: z._default(z.boolean(), true),
});
export type WriteWebhook = z.infer<typeof WriteWebhook>;

export const Webhook = z.object({
  id: WebhookId,
  url: z.string(),
  events: z.array(WebhookEvent),
  description: z.optional(z.string()),
  enabled: z.boolean(),
  created_at: Timestamp,
  /** Since when every attempt has failed. */
  failing_since: z.optional(Timestamp),
});
export type Webhook = z.infer<typeof Webhook>;

/** `secret`, `whsec_…`, is told once: it verifies signatures by https://www.standardwebhooks.com. */
export const CreatedWebhook = z.extend(Webhook, { secret: z.string() });
export type CreatedWebhook = z.infer<typeof CreatedWebhook>;

export const RotateSecret = z.object({
  /** For so long messages carry the signature of the secret before as well; 0: not at all. */
  overlap_hours: z._default(
    z.int().check(z.minimum(0), z.maximum(MAX_SECRET_OVERLAP_HOURS)),
    DEFAULT_SECRET_OVERLAP_HOURS,
  ),
});

export const RotatedSecret = z.object({ secret: z.string(), previous_valid_until: Timestamp });

/** `pending`: an attempt is to come. `failed`: there are no more attempts, unless it is delivered again by hand. */
const DeliveryState = z.enum(['pending', 'delivered', 'failed']);

export const DeliveryAttempt = z.object({
  at: Timestamp,
  duration_ms: z.int(),
  /** Of the answer, if there was one. */
  status: z.optional(z.int()),
  error: z.optional(z.string()),
});
export type DeliveryAttempt = z.infer<typeof DeliveryAttempt>;

/** A message to a webhook; `id` is its header `webhook-id`, the same at every attempt. Kept for 30 days. */
export const WebhookDelivery = z.object({
  id: z.string(),
  webhook_id: WebhookId,
  type: WebhookEvent,
  state: DeliveryState,
  created_at: Timestamp,
  next_attempt_at: z.optional(Timestamp),
  delivered_at: z.optional(Timestamp),
  /** The latest, oldest first. */
  attempts: z.array(DeliveryAttempt),
  /** The body as it is sent: the event. */
  payload: z.unknown(),
});
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;
