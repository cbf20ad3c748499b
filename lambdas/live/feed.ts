import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { createLog } from '../runtime/log.ts';
import { openLive } from './aws-deps.ts';
import { tellEvents } from './queue-deliveries.ts';

// One table keeps both.
const live = openLive(createLog({ function: 'live-feed' }));

export const handler = streamHandler(tellEvents({ ...live, webhooks: live.connections }));
