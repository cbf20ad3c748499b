import { randomUUID } from 'node:crypto';
import {
  DeleteRuleCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import { describe, expect, it, onTestFinished } from 'vitest';
import { UploadEvent } from '../../contract/events/uploads.ts';
import { lackOf } from '../support/capabilities.ts';
import { call, makeBytes, newTenant, target, until } from '../support/e2e-world.ts';

const lack = lackOf('a bus that others can listen to', target.engine);
const endpoint = process.env.LOCALSTACK_ENDPOINT ?? '';
const BUS = 'millrace';

/** An SQS queue that gets what a rule on the bus matches; removed after the test. Answers how to take what it has. */
async function listen(pattern: object): Promise<() => Promise<UploadEvent[]>> {
  const name = `e2e-${randomUUID()}`;
  const { QueueUrl } = await sqs('CreateQueue', { QueueName: name });
  const bridge = new EventBridgeClient({ endpoint });
  const rule = { Name: name, EventBusName: BUS };
  const target = { Id: 'queue', Arn: `arn:aws:sqs:us-east-1:000000000000:${name}` };
  onTestFinished(async () => {
    await bridge.send(new RemoveTargetsCommand({ Rule: name, EventBusName: BUS, Ids: [target.Id] }));
    await bridge.send(new DeleteRuleCommand(rule));
    await sqs('DeleteQueue', { QueueUrl });
    bridge.destroy();
  });
  await bridge.send(new PutRuleCommand({ ...rule, EventPattern: JSON.stringify(pattern) }));
  await bridge.send(new PutTargetsCommand({ Rule: name, EventBusName: BUS, Targets: [target] }));
  return async () => {
    const { Messages = [] } = await sqs('ReceiveMessage', {
      QueueUrl,
      MaxNumberOfMessages: 10,
      VisibilityTimeout: 600,
    });
    return Messages.map(({ Body }: { Body: string }) => UploadEvent.parse(JSON.parse(Body).detail));
  };
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
async function sqs(action: string, body: object): Promise<any> {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: {
      'X-Amz-Target': `AmazonSQS.${action}`,
      'Content-Type': 'application/x-amz-json-1.0',
      Authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, Signature=none',
    },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${action}: ${await response.text()}`);
  const text = await response.text();
  return text === '' ? {} : JSON.parse(text);
}

describe.skipIf(lack)(`the bus${lack ? ` (${lack})` : ''}`, () => {
  it('U9 has the events of an upload that became a file, and of one whose content was refused', async () => {
    const { id: tenantId, apiKey, client } = await newTenant();
    const take = await listen({ source: ['millrace'], detail: { tenant_id: [tenantId] } });
    const file = await client.uploads.upload(makeBytes(1_000), { name: 'a.bin' });
    const wrong = client.uploads.upload(makeBytes(1_000, 2), { name: 'a.png', contentType: 'image/png' });
    await expect(wrong).rejects.toMatchObject({ code: 'ContentMismatchError' });
    const published = new Map<string, UploadEvent>();
    await until('both have ended on the bus', async () => {
      for (const event of await take()) published.set(event.type, event);
      return published.has('upload.completed') && published.has('upload.rejected') ? true : undefined;
    });
    const { items } = (await call('GET', `/uploads/${file.upload_id}/events`, { apiKey })).body;
    expect({ ...published.get('upload.completed'), cursor: items.at(-1).cursor }).toEqual(items.at(-1));
    expect(published.get('upload.rejected')).toMatchObject({ data: { error: { code: 'ContentMismatchError' } } });
  });
});
