import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { createLog } from '../runtime/log.ts';
import { openLive } from './aws-deps.ts';
import { pushEvents } from './push-events.ts';

export const handler = streamHandler(pushEvents(openLive(createLog({ function: 'live-feed' }))));
