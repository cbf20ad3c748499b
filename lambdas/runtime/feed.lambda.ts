import { name, openFeed } from '#context';
import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { openAwsPlatform } from './aws-platform.ts';

export const handler = streamHandler(await openFeed(openAwsPlatform(`${name}-feed`)));
