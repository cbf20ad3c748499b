import * as z from 'zod/mini';
import { systemClock } from '../../platform/system-clock.ts';
import { openSecrets, openTable } from '../runtime/aws-composition.ts';
import { jsonText, readConfig } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';
import type { WebhookDeps } from './send-deliveries.ts';

export function openWebhooks(log: Log): WebhookDeps {
  const { WEBHOOKS_TO_PRIVATE: allowPrivate } = readConfig({ WEBHOOKS_TO_PRIVATE: jsonText(z.boolean()) });
  const table = openTable('webhooks');
  return { table, secrets: openSecrets(), clock: systemClock, log, allowPrivate };
}
