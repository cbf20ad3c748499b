import { setTimeout } from 'node:timers/promises';
import { executionEndedHandler } from '../../platform/aws/sfn-workflows.ts';
import { openLog, openObjects, stateMachineArnPrefix } from '../runtime/aws-composition.ts';
import { openJobs } from './aws-deps.ts';
import { settleExecution } from './settle.ts';

export const handler = executionEndedHandler({
  stateMachineArnPrefix: stateMachineArnPrefix(),
  onEnded: settleExecution(openJobs({ objects: openObjects(), log: openLog('jobs-settle') }), {
    sleep: setTimeout,
  }),
});
