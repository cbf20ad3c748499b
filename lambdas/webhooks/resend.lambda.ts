import { createLog } from '../runtime/log.ts';
import { openWebhooks } from './aws-deps.ts';
import { sendDue } from './send-deliveries.ts';

const deps = openWebhooks(createLog({ function: 'webhooks-resend' }));

export const handler = () => sendDue(deps);
