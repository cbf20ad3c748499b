import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { createLog } from '../runtime/log.ts';
import { openWebhooks } from './aws-deps.ts';
import { sendNew } from './send-deliveries.ts';

export const handler = streamHandler(sendNew(openWebhooks(createLog({ function: 'webhooks-feed' }))));
