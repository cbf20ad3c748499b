import { type App, ArnFormat, CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import { Stats } from 'aws-cdk-lib/aws-cloudwatch';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { webhooks as webhooksContext } from '../../contract/contexts.ts';
import { acknowledgeWildcard } from '../constructs/acknowledge.ts';
import { feedChanges } from '../constructs/change-feed.ts';
import { ContextTable } from '../constructs/context-table.ts';
import { DeadLetterQueue } from '../constructs/dead-letter-queue.ts';
import { LiveSocket } from '../constructs/live-socket.ts';
import { NodeFunction } from '../constructs/node-function.ts';
import { runEvery } from '../constructs/run-every.ts';
import { RunbookAlarm } from '../constructs/runbook-alarm.ts';
import { type Settings, settingsEnvironment } from '../settings.ts';
import type { FoundationStack } from './foundation-stack.ts';
import type { JobsStack } from './jobs-stack.ts';
import type { UploadsStack } from './uploads-stack.ts';

interface LiveStackProps {
  readonly settings: Settings;
  readonly foundation: FoundationStack;
  readonly uploads: UploadsStack;
  readonly jobs: JobsStack;
}

/** Publishes events: the WebSocket API with the functions that push over it, and webhooks. */
export class LiveStack extends Stack {
  readonly api: NodeFunction;
  readonly webhooksApi: NodeFunction;

  constructor(app: App, id: string, { settings, foundation, uploads, jobs }: LiveStackProps) {
    super(app, id, { description: 'Millrace: live events' });
    const connections = new ContextTable(this, 'Connections', settings);
    // The table's id is older than the context: with another one CloudFormation would replace it.
    const webhooks = new ContextTable(this, 'Live', settings);
    const deadLetters = new DeadLetterQueue(this, 'DeadLetters');
    const tables = { LIVE_TABLE: connections.table.tableName, WEBHOOKS_TABLE: webhooks.table.tableName };
    const ofWebhooks = {
      WEBHOOKS_TABLE: tables.WEBHOOKS_TABLE,
      SECRETS_PREFIX: `${settings.prefix}/`,
      ...settingsEnvironment(webhooksContext, settings),
    };

    this.api = new NodeFunction(this, 'Api', {
      settings,
      description: 'API: where events are pushed',
      entry: 'lambdas/live/api.lambda.ts',
      memoryMiB: 512,
      timeoutSeconds: 28,
      environment: foundation.authEnvironment,
    });
    this.webhooksApi = new NodeFunction(this, 'WebhooksApi', {
      settings,
      description: 'API: webhooks',
      entry: 'lambdas/webhooks/api.lambda.ts',
      memoryMiB: 512,
      timeoutSeconds: 28,
      environment: { ...ofWebhooks, ...foundation.authEnvironment },
    });
    for (const api of [this.api, this.webhooksApi]) foundation.allowAuthentication(api);

    const feed = new NodeFunction(this, 'Feed', {
      settings,
      description: 'Pushes events of jobs and uploads, keeps messages to webhooks',
      entry: 'lambdas/live/feed.lambda.ts',
      memoryMiB: 512,
      timeoutSeconds: 60,
      environment: tables,
    });
    const send = new NodeFunction(this, 'Send', {
      settings,
      description: 'Sends new messages to webhooks',
      entry: 'lambdas/webhooks/send.lambda.ts',
      memoryMiB: 512,
      // 100 messages, 10 at once, of 10 s at most.
      timeoutSeconds: 180,
      environment: ofWebhooks,
    });
    feedChanges({ table: webhooks.table, consumer: send, deadLetters, prefixes: ['DELIVERY#'] });
    const resend = new NodeFunction(this, 'Resend', {
      settings,
      description: 'Sends messages to webhooks that are to be tried again',
      entry: 'lambdas/webhooks/resend.lambda.ts',
      memoryMiB: 512,
      // 4 shards of as many.
      timeoutSeconds: 600,
      environment: ofWebhooks,
    });
    runEvery(resend, Duration.minutes(1), deadLetters);
    connections.allowReadAndWrite(feed.role);
    for (const worker of [this.webhooksApi, feed, send, resend]) webhooks.allowReadAndWrite(worker.role);
    const secrets = this.formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${settings.prefix}/webhooks/*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    const allowSecrets = (worker: NodeFunction, ...actions: string[]) => {
      worker.addToRolePolicy(new PolicyStatement({ actions, resources: [secrets] }));
      acknowledgeWildcard(worker.role, secrets, 'Every webhook has a secret of its own.');
    };
    const writes = ['CreateSecret', 'PutSecretValue', 'DeleteSecret'].map((action) => `secretsmanager:${action}`);
    allowSecrets(this.webhooksApi, 'secretsmanager:GetSecretValue', ...writes);
    for (const sender of [send, resend]) allowSecrets(sender, 'secretsmanager:GetSecretValue');
    for (const source of [jobs.table, uploads.table]) {
      feedChanges({ table: source.table, consumer: feed, deadLetters, prefixes: ['EVENT#'] });
    }
    new RunbookAlarm(this, 'HasDeadLetters', {
      settings,
      heading: 'live-dead-letters',
      says: 'Events could not be pushed, or messages to webhooks not be kept or sent.',
      metric: deadLetters.metricApproximateNumberOfMessagesVisible({
        statistic: Stats.MAXIMUM,
        period: Duration.minutes(5),
      }),
      threshold: 1,
      evaluationPeriods: 1,
    });
    if (settings.webSocket) this.#addSocket({ settings, foundation, uploads, jobs }, connections, feed);
  }

  #addSocket({ settings, foundation, uploads, jobs }: LiveStackProps, table: ContextTable, feed: NodeFunction): void {
    const target = new NodeFunction(this, 'Messages', {
      settings,
      description: 'WebSocket: connections and subscriptions',
      entry: 'lambdas/live/socket.lambda.ts',
      memoryMiB: 512,
      timeoutSeconds: 28,
      environment: {
        LIVE_TABLE: table.table.tableName,
        JOBS_TABLE: jobs.table.table.tableName,
        UPLOADS_TABLE: uploads.table.table.tableName,
        ...foundation.authEnvironment,
      },
    });
    foundation.allowAuthentication(target);
    table.allowReadAndWrite(target.role);
    for (const source of [jobs.table, uploads.table]) source.allowRead(target.role);
    const socket = new LiveSocket(this, 'Socket', { settings, target });
    for (const pusher of [target, feed]) {
      socket.allowPush(pusher);
      pusher.addEnvironment('PUSH_ENDPOINT', socket.endpoint);
    }
    this.api.addEnvironment('WEBSOCKET_URL', socket.url);
    new CfnOutput(this, 'WebSocketUrl', { value: socket.url });
  }
}
