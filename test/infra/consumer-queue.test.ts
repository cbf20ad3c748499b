import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { afterAll, describe, expect, test } from 'vitest';
import { ConsumerQueue } from '../../lib/constructs/consumer-queue.ts';
import { NodeFunction } from '../../lib/constructs/node-function.ts';
import { readSettings } from '../../lib/settings.ts';

describe("a consumer's queue", () => {
  const outdir = mkdtempSync(join(tmpdir(), 'millrace-queue-'));
  afterAll(() => rmSync(outdir, { recursive: true }));
  const app = new App({ outdir, context: { 'aws:cdk:bundling-stacks': [] } });
  const stack = new Stack(app, 'Notes');
  const settings = readSettings(new App());
  const named = (id: string) =>
    new NodeFunction(stack, id, {
      settings,
      description: id,
      entry: 'lambdas/notes/consumer.ts',
      memoryMiB: 512,
      timeoutSeconds: 40,
      environment: {},
    });
  const consumer = named('Consumer');
  const sender = named('Sender');
  const queue = new ConsumerQueue(stack, 'Queue', {
    settings,
    name: 'notes',
    consumer,
    consumerTimeoutSeconds: 40,
  });
  queue.allowSend(sender.role);
  const template = Template.fromStack(stack);

  test('keeps a message hidden for six runs of its function, and buries it after ten', () => {
    template.hasResourceProperties('AWS::SQS::Queue', {
      SqsManagedSseEnabled: true,
      VisibilityTimeout: 240,
      MessageRetentionPeriod: 4 * 86_400,
      RedrivePolicy: {
        deadLetterTargetArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('DeadLetters'), 'Arn'] },
        maxReceiveCount: 10,
      },
    });
  });

  test('hands over batches whose messages fail one by one', () => {
    template.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
      BatchSize: 10,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    });
  });

  test('has an alarm on its dead letters', () => {
    template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmName: 'millrace-notes-events-dead-letters',
      AlarmDescription: Match.stringLikeRegexp('docs/runbook.md#dead-letters$'),
      Dimensions: [{ Value: { 'Fn::GetAtt': [Match.stringLikeRegexp('DeadLetters'), 'QueueName'] } }],
      Threshold: 1,
    });
  });

  test('is written by whom it allows, and read by its consumer alone', () => {
    const sqs = Object.entries(template.findResources('AWS::IAM::Policy')).map(([id, { Properties }]) => [
      id.replace(/Role.*/, ''),
      (Properties.PolicyDocument.Statement as { Action: string | string[] }[])
        .flatMap(({ Action }) => Action)
        .filter((action) => action.startsWith('sqs:'))
        .sort(),
    ]);
    const receive = ['ChangeMessageVisibility', 'DeleteMessage', 'GetQueueAttributes', 'GetQueueUrl', 'ReceiveMessage'];
    expect(Object.fromEntries(sqs)).toEqual({
      Consumer: receive.map((name) => `sqs:${name}`),
      Sender: ['sqs:SendMessage'],
    });
  });

  test('gives cdk-nag nothing to find', () => {
    expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
  });
});
