import { setTimeout } from 'node:timers/promises';
import { executionEndedHandler } from '../../platform/aws/sfn-workflows.ts';
import { openAwsPlatform, readStateMachineArnPrefix } from '../runtime/aws-platform.ts';
import { openSettle } from './context.ts';

export const handler = executionEndedHandler({
  stateMachineArnPrefix: readStateMachineArnPrefix(),
  onEnded: await openSettle(openAwsPlatform('jobs-settle'), { sleep: setTimeout }),
});
