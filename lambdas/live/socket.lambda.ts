import { openAwsPlatform } from '../runtime/aws-platform.ts';
import { openSockets } from './context.ts';
import { socketHandler } from './socket-handler.ts';

export const handler = socketHandler(await openSockets(openAwsPlatform('live-socket')));
