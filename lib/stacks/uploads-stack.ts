import { type App, Duration, Stack } from 'aws-cdk-lib';
import { uploads } from '../../contract/contexts.ts';
import { feedChanges } from '../constructs/change-feed.ts';
import { ContextTable } from '../constructs/context-table.ts';
import { DeadLetterQueue } from '../constructs/dead-letter-queue.ts';
import { NodeFunction } from '../constructs/node-function.ts';
import { runEvery } from '../constructs/run-every.ts';
import { SigningRole } from '../constructs/signing-role.ts';
import { type Settings, settingsEnvironment } from '../settings.ts';
import type { FoundationStack } from './foundation-stack.ts';

/** Upload sessions and files. */
export class UploadsStack extends Stack {
  readonly table: ContextTable;
  readonly api: NodeFunction;

  constructor(app: App, id: string, settings: Settings, foundation: FoundationStack) {
    super(app, id, { description: 'Millrace: upload sessions and files' });
    const { bucket, bus } = foundation;
    this.table = new ContextTable(this, 'Uploads', settings);
    const deadLetters = new DeadLetterQueue(this, 'DeadLetters');
    const environment = { UPLOADS_TABLE: this.table.table.tableName };

    this.api = new NodeFunction(this, 'Api', {
      settings,
      description: 'API: uploads, files',
      entry: 'lambdas/uploads/api.lambda.ts',
      memoryMiB: 1_769,
      timeoutSeconds: 28,
      environment: {
        ...environment,
        ...foundation.authEnvironment,
        ...foundation.bucketEnvironment,
        ...settingsEnvironment(uploads, settings),
      },
    });
    foundation.allowAuthentication(this.api);
    const signing = new SigningRole(this, 'Signing', {
      signer: this.api.role,
      bucket,
      keys: 'tenant/*/uploads/*',
      actions: ['Get', 'Put'],
    });
    this.api.addEnvironment('SIGNING_ROLE_ARN', signing.roleArn);

    const sweep = new NodeFunction(this, 'Sweep', {
      settings,
      description: 'Expires sessions, finishes what is completing, aborts orphaned uploads',
      entry: 'lambdas/uploads/sweep.lambda.ts',
      memoryMiB: 512,
      timeoutSeconds: 300,
      environment: { ...environment, ...foundation.bucketEnvironment, METRICS_NAMESPACE: settings.prefix },
    });
    runEvery(sweep, Duration.minutes(1), deadLetters);

    for (const worker of [this.api, sweep]) {
      this.table.allowReadAndWrite(worker.role);
      bucket.allowObjects(worker.role, 'tenant/*/uploads/*', 'Get', 'Put', 'Delete');
      bucket.allowMultipart(worker.role, 'tenant/*/uploads/*');
      bucket.allowList(worker.role);
    }

    const feed = new NodeFunction(this, 'Feed', {
      settings,
      description: 'Keeps the events of uploads, tells the bus how they ended',
      entry: 'lambdas/uploads/feed.lambda.ts',
      memoryMiB: 512,
      timeoutSeconds: 60,
      environment: { ...environment, BUS_NAME: bus.eventBusName },
    });
    this.table.allow(feed.role, ['dynamodb:BatchWriteItem']);
    bus.grantPutEventsTo(feed);
    feedChanges({ table: this.table.table, consumer: feed, deadLetters, prefixes: ['UPLOAD'] });
  }
}
