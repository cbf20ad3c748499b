import { setTimeout } from 'node:timers/promises';
import { executionEndedHandler } from '../../platform/aws/sfn-workflows.ts';
import { openObjects, stateMachineArnPrefix } from '../runtime/aws-composition.ts';
import { createLog } from '../runtime/log.ts';
import { openJobs } from './aws-deps.ts';
import { settleExecution } from './settle.ts';

export const handler = executionEndedHandler({
  stateMachineArnPrefix: stateMachineArnPrefix(),
  onEnded: settleExecution(openJobs({ objects: openObjects(), log: createLog({ function: 'jobs-settle' }) }), {
    sleep: setTimeout,
  }),
});
