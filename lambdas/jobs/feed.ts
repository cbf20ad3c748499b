import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { openObjects } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { openJobs } from './aws-deps.ts';
import { consumeJobChanges } from './changes.ts';

export const handler = streamHandler(
  consumeJobChanges(openJobs({ objects: openObjects(), log: createLog({ function: 'jobs-feed' }) })),
);
