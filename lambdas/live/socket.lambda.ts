import { openAuthenticator, openKeys } from '../identity/aws-deps.ts';
import { openTable } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { openLive } from './aws-deps.ts';
import { socketHandler } from './socket-handler.ts';

const log = createLog({ function: 'live-socket' });

export const handler = socketHandler(
  { ...openLive(log), jobs: openTable('jobs'), uploads: openTable('uploads') },
  openAuthenticator({ keys: openKeys(), log }),
);
