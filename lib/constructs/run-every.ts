import type { Duration } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { NodeFunction } from './node-function.ts';

/** Runs a function on a schedule. The next run does the work of one that failed: there is no retry. */
export function runEvery(worker: NodeFunction, period: Duration, deadLetterQueue: IQueue): void {
  new Rule(worker, 'Schedule', {
    schedule: Schedule.rate(period),
    targets: [new LambdaFunction(worker, { deadLetterQueue, retryAttempts: 0 })],
  });
  // Those were tries to hand the event to Lambda, these are Lambda's own.
  worker.configureAsyncInvoke({ retryAttempts: 0 });
}
