import type { DeliveryAttempt } from '../../contract/webhooks.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { Log } from '../../platform/ports/log.ts';
import { mapAtMost } from '../../platform/ports/map-at-most.ts';
import type { Secrets } from '../../platform/ports/secrets.ts';
import type { ChangeConsumer, Table, Value, Write } from '../../platform/ports/table.ts';
import { postSafely } from './post-safely.ts';
import {
  asDelivery,
  DELIVERY,
  type DeliveryRecord,
  DUE_SHARDS,
  deliveryKey,
  dueIndex,
  duePk,
  readWebhook,
  secretName,
  type WebhookRecord,
  webhookKey,
} from './records.ts';
import { signMessage } from './secrets.ts';

export interface WebhookDeps {
  readonly table: Table;
  readonly secrets: Secrets;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether messages may go to addresses that are not public, and by http: for tests, and for services beside this one. */
  readonly allowPrivate: boolean;
}

const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000];
/** After each failure; 3 days and 4 hours in all, then it has failed. */
const PAUSES_MS = [
  5 * SECOND,
  MINUTE,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];
/** So long an attempt is its runner's, who takes 10 s at most. */
const CLAIM_MS = 60_000;
const AT_ONCE = 10;
/** Attempts kept of one message. */
const MAX_ATTEMPTS_KEPT = 20;
const DUE_PAGE = 100;

/**
 * Makes the first attempt at each new message, and at each that is to be delivered again. An address that fails has its
 * messages tried by schedule alone, so that it holds up no others.
 */
export function sendNew(deps: WebhookDeps): ChangeConsumer {
  return async (changes) => {
    const fresh = changes.flatMap(({ key, after }) => {
      const delivery = after && key.sk.startsWith(DELIVERY) ? asDelivery(after) : undefined;
      return delivery?.state === 'pending' && delivery.tries === 0 ? [delivery] : [];
    });
    await mapAtMost(AT_ONCE, fresh, async (delivery) => {
      const webhook = await readWebhook(deps.table, delivery.tenant_id, delivery.webhook_id);
      if (webhook?.failing_since === undefined) await attempt(deps, delivery, webhook);
    });
    return undefined;
  };
}

/** Tries what is due. */
export async function sendDue(deps: WebhookDeps): Promise<void> {
  const now = deps.clock.now().getTime();
  for (let shard = 0; shard < DUE_SHARDS; shard += 1) {
    const { items } = await deps.table.query({ pk: duePk(shard), index: 'g2', limit: DUE_PAGE });
    const due = items.map(asDelivery).filter(({ due_at = now }) => due_at <= now);
    await mapAtMost(AT_ONCE, due, async (delivery) => {
      const webhook = await readWebhook(deps.table, delivery.tenant_id, delivery.webhook_id);
      await attempt(deps, delivery, webhook);
    });
  }
}

/** One attempt by one runner: the claim is on the number of tries as it was read. */
async function attempt(deps: WebhookDeps, delivery: DeliveryRecord, webhook: WebhookRecord | undefined): Promise<void> {
  const { table, clock } = deps;
  const { tenant_id, webhook_id, delivery_id, tries } = delivery;
  const key = deliveryKey(tenant_id, webhook_id, delivery_id);
  const began = clock.now();
  const claim = await table.write({
    op: 'update',
    key,
    if: { state: 'pending', tries },
    set: { tries: tries + 1, ...dueIndex(delivery_id, began.getTime() + CLAIM_MS) },
  });
  if (!claim.ok) return;
  const outcome = await send(deps, webhook, delivery, began);
  const made: DeliveryAttempt = {
    at: began.toISOString(),
    duration_ms: clock.now().getTime() - began.getTime(),
    ...outcome,
  };
  const ok = outcome.status !== undefined && outcome.status >= 200 && outcome.status < 300;
  const pauseMs = webhook?.enabled ? PAUSES_MS[tries] : undefined;
  const attempts = [...asDelivery(claim.item as never).attempts, made].slice(-MAX_ATTEMPTS_KEPT) as unknown as Value;
  const change: Pick<Write & { op: 'update' }, 'set' | 'remove'> = ok
    ? { set: { state: 'delivered', delivered_at: clock.now().toISOString(), attempts }, remove: DUE }
    : pauseMs === undefined
      ? { set: { state: 'failed', attempts }, remove: DUE }
      : { set: { attempts, ...dueIndex(delivery_id, clock.now().getTime() + jittered(pauseMs)) } };
  await table.write({ op: 'update', key, if: { tries: tries + 1 }, ...change });
  if (webhook) await noteHealth(deps, webhook, ok);
  const fields = { tenant_id, webhook_id, delivery_id, status: outcome.status, error: outcome.error };
  deps.log[ok ? 'info' : 'warn'](ok ? 'webhook delivered' : 'webhook not delivered', fields);
}

const DUE = ['due_at', 'g2pk', 'g2sk'];

/** Of many that failed at once, not all come back at once. */
const jittered = (ms: number) => Math.round(ms * (1 + Math.random() / 5));

async function send(
  { secrets, allowPrivate }: WebhookDeps,
  webhook: WebhookRecord | undefined,
  { tenant_id, webhook_id, delivery_id: id, body }: DeliveryRecord,
  at: Date,
): Promise<{ status?: number; error?: string }> {
  if (!webhook) return { error: 'the webhook was deleted' };
  if (!webhook.enabled) return { error: 'the webhook is disabled' };
  const headers = await signMessage(secrets, secretName(tenant_id, webhook_id), { id, at, body });
  if (!headers) return { error: 'the webhook has no secret' };
  try {
    const status = await postSafely(webhook.url, { headers, body, allowPrivate });
    return status >= 200 && status < 300 ? { status } : { status, error: `the receiver answered ${status}` };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

async function noteHealth({ table, clock }: WebhookDeps, webhook: WebhookRecord, ok: boolean): Promise<void> {
  if (ok === (webhook.failing_since === undefined)) return;
  const key = webhookKey(webhook.tenant_id, webhook.webhook_id);
  const write: Write = ok
    ? { op: 'update', key, if: { enabled: { present: true } }, remove: ['failing_since'] }
    : { op: 'update', key, if: { failing_since: { absent: true } }, set: { failing_since: clock.now().toISOString() } };
  await table.write(write);
}
