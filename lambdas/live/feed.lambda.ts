import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { openTable } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { queueDeliveries } from '../webhooks/public.ts';
import { openLive } from './aws-deps.ts';
import { publishEvents } from './publish-events.ts';

const webhooks = { table: openTable('webhooks'), clock: systemClock };

export const handler = streamHandler(
  publishEvents(openLive(createLog({ function: 'live-feed' })), queueDeliveries(webhooks)),
);
