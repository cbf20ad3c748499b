import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { openLog, openObjects } from '../runtime/aws-composition.ts';
import { openJobs } from './aws-deps.ts';
import { consumeJobChanges } from './changes.ts';

export const handler = streamHandler(
  consumeJobChanges(openJobs({ objects: openObjects(), log: openLog('jobs-feed') })),
);
