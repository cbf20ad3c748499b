import * as z from 'zod/mini';
import type { Event } from '../../contract/events.ts';
import { webhooks } from '../../contract/routes/webhooks.ts';
import type { QueueConsumer } from '../../platform/ports/queue.ts';
import type { ChangeConsumer } from '../../platform/ports/table.ts';
import type { ContextApi, ScheduleRun } from '../runtime/context.ts';
import type { Platform } from '../runtime/platform.ts';
import { createWebhooksHandlers } from './handlers.ts';
import { queueDeliveries } from './queue-deliveries.ts';
import { sendDue, sendNew, type WebhookDeps } from './send-deliveries.ts';

export const name = 'webhooks';

export async function openApi(platform: Platform): Promise<ContextApi<'webhooks'>> {
  return { routes: webhooks.routes, handlers: createWebhooksHandlers(await openDeps(platform)) };
}

export async function openFeed(platform: Platform): Promise<ChangeConsumer> {
  return sendNew(await openDeps(platform));
}

/** Consumes events. */
export async function openConsumer(platform: Platform): Promise<QueueConsumer<Event>> {
  return queueDeliveries({ table: await platform.table(name), clock: platform.clock });
}

export const schedules = {
  async resend(platform: Platform): Promise<ScheduleRun> {
    const deps = await openDeps(platform);
    return async () => {
      await sendDue(deps);
      return undefined;
    };
  },
};

async function openDeps(platform: Platform): Promise<WebhookDeps> {
  const { clock, log } = platform;
  const { webhooksToPrivate: allowPrivate } = platform.settings({ webhooksToPrivate: z.boolean() });
  return { table: await platform.table(name), secrets: await platform.secrets(), clock, log, allowPrivate };
}
