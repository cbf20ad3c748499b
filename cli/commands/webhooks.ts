import { paginate, type WriteWebhook } from 'millrace';
import { EXIT, type ExitCode } from '../exit.ts';
import { table } from '../output.ts';
import type { Session } from '../session.ts';
import { collect } from './collect.ts';

export interface CreateWebhookFlags {
  readonly event?: string[];
  readonly description?: string;
}

/** The secret is all that goes to stdout, so that it can be kept in a variable. */
export async function createWebhook(
  { output, connect }: Session,
  url: string,
  { event, description }: CreateWebhookFlags,
): Promise<ExitCode> {
  const webhook = await (await connect()).webhooks.create({
    url,
    // The server knows the events and names them when one is wrong.
    ...(event && { events: event as NonNullable<WriteWebhook['events']> }),
    ...(description && { description }),
  });
  output.note(`Created ${webhook.id}. The secret is shown only once:`);
  output.result({ type: 'webhook', webhook }, webhook.secret);
  return EXIT.ok;
}

export async function listWebhooks({ output, connect }: Session): Promise<ExitCode> {
  const millrace = await connect();
  const webhooks = await collect(paginate((cursor) => millrace.webhooks.list({ cursor })));
  const rows = webhooks.map(({ id, enabled, failing_since, url, events }) => {
    const state = failing_since ? `failing since ${failing_since}` : 'ok';
    return [id, enabled ? state : 'disabled', url, events.join(' ')];
  });
  output.list('webhook', webhooks, table(['WEBHOOK', 'STATE', 'URL', 'EVENTS'], rows));
  return EXIT.ok;
}

export async function deleteWebhook({ output, connect }: Session, webhookId: string): Promise<ExitCode> {
  await (await connect()).webhooks.delete(webhookId);
  output.result({ type: 'deleted', webhook_id: webhookId }, `${webhookId} deleted`);
  return EXIT.ok;
}

export async function rotateSecret(
  { output, connect }: Session,
  webhookId: string,
  { overlapHours }: { readonly overlapHours?: number },
): Promise<ExitCode> {
  const options = overlapHours === undefined ? {} : { overlapHours };
  const rotated = await (await connect()).webhooks.rotateSecret(webhookId, options);
  output.note(`The previous secret stays valid until ${rotated.previous_valid_until}. The new one is shown only once:`);
  output.result({ type: 'secret', webhook_id: webhookId, ...rotated }, rotated.secret);
  return EXIT.ok;
}

export async function listDeliveries(
  { output, connect }: Session,
  webhookId: string,
  { limit }: { readonly limit: number },
): Promise<ExitCode> {
  const millrace = await connect();
  const pages = paginate((cursor) => millrace.webhooks.deliveries(webhookId, { cursor }));
  const deliveries = await collect(pages, limit);
  const rows = deliveries.map(({ id, type, state, created_at, attempts }) => {
    const last = attempts.at(-1);
    return [id, type, state, created_at, String(attempts.length), last?.error ?? String(last?.status ?? '')];
  });
  output.list('delivery', deliveries, table(['DELIVERY', 'EVENT', 'STATE', 'CREATED', 'ATTEMPTS', 'LAST'], rows));
  return EXIT.ok;
}

export async function redeliver({ output, connect }: Session, webhookId: string, id: string): Promise<ExitCode> {
  const delivery = await (await connect()).webhooks.redeliver(webhookId, id);
  output.result({ type: 'delivery', delivery }, `${delivery.id}  ${delivery.state}`);
  return EXIT.ok;
}
