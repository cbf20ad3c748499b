import { Duration } from 'aws-cdk-lib';
import { Stats } from 'aws-cdk-lib/aws-cloudwatch';
import type { IRole } from 'aws-cdk-lib/aws-iam';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Settings } from '../settings.ts';
import { DeadLetterQueue } from './dead-letter-queue.ts';
import type { NodeFunction } from './node-function.ts';
import { RunbookAlarm } from './runbook-alarm.ts';

/** Deliveries of a message; one that fails comes again after the visibility timeout: with 60 s a run, for an hour. */
const MAX_RECEIVES = 10;
/** AWS asks for at least six: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html */
const RUNS_IN_VISIBILITY_TIMEOUT = 6;

interface ConsumerQueueProps {
  readonly settings: Settings;
  /** Of the context: the alarm's name begins so. */
  readonly name: string;
  readonly consumer: NodeFunction;
  readonly consumerTimeoutSeconds: number;
}

/** The queue of one consumer of events, the function that takes them, and the queue of those it could not take. */
export class ConsumerQueue extends Construct {
  readonly queue: Queue;

  constructor(scope: Construct, id: string, { settings, name, consumer, consumerTimeoutSeconds }: ConsumerQueueProps) {
    super(scope, id);
    const deadLetters = new DeadLetterQueue(this, 'DeadLetters');
    this.queue = new Queue(this, 'Queue', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      // Shorter than the dead letters', whose time begins when a message is sent to the first queue.
      retentionPeriod: Duration.days(4),
      visibilityTimeout: Duration.seconds(RUNS_IN_VISIBILITY_TIMEOUT * consumerTimeoutSeconds),
      deadLetterQueue: { queue: deadLetters, maxReceiveCount: MAX_RECEIVES },
    });
    consumer.addEventSource(new SqsEventSource(this.queue, { batchSize: 10, reportBatchItemFailures: true }));
    new RunbookAlarm(this, 'HasDeadLetters', {
      settings,
      name: `${name}-events-dead-letters`,
      heading: 'dead-letters',
      says: `The context ${name} could not consume events.`,
      metric: deadLetters.metricApproximateNumberOfMessagesVisible({
        statistic: Stats.MAXIMUM,
        period: Duration.minutes(5),
      }),
      threshold: 1,
      evaluationPeriods: 1,
    });
  }

  allowSend(role: IRole): void {
    role.addToPrincipalPolicy(new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [this.queue.queueArn] }));
  }
}
