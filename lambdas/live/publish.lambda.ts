import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { openAwsPlatform } from '../runtime/aws-platform.ts';
import { openPublisher } from './context.ts';

export const handler = streamHandler(await openPublisher(openAwsPlatform('live-publish')));
