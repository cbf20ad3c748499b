import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { openBus } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { publishUploadChanges } from './changes.ts';

export const handler = streamHandler(
  publishUploadChanges({ bus: openBus(), log: createLog({ function: 'uploads-feed' }) }),
);
