import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { openBus, openTable } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { publishUploadChanges } from './changes.ts';

export const handler = streamHandler(
  publishUploadChanges({
    table: openTable('uploads'),
    bus: openBus(),
    clock: systemClock,
    log: createLog({ function: 'uploads-feed' }),
  }),
);
