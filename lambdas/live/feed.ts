import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { openTable } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { openLive } from './aws-deps.ts';
import { tellEvents } from './queue-deliveries.ts';

const live = openLive(createLog({ function: 'live-feed' }));

export const handler = streamHandler(tellEvents({ ...live, webhooks: openTable('LIVE_TABLE') }));
