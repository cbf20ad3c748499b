import { name, openConsumer } from '#context';
import { queueHandler } from '../../platform/aws/sqs-queue.ts';
import { openAwsPlatform } from './aws-platform.ts';

export const handler = queueHandler(await openConsumer(openAwsPlatform(`${name}-consumer`)));
