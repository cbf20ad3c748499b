import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { createLog } from '../runtime/log.ts';
import { openLive } from './aws-deps.ts';
import { tellEvents } from './queue-deliveries.ts';

export const handler = streamHandler(tellEvents(openLive(createLog({ function: 'live-feed' }))));
