import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import {
  CreateEventBusCommand,
  DeleteEventBusCommand,
  DeleteRuleCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { UploadEvent } from '../../contract/events/uploads.ts';
import type { Event } from '../../contract/events.ts';
import { EventBridgeBus } from '../../platform/aws/eventbridge-bus.ts';
import { systemClock } from '../../platform/system-clock.ts';

function uploadCompleted(): Event {
  const upload_id = `upl_${systemClock.newId()}`;
  const file_id = `file_${systemClock.newId()}`;
  return UploadEvent.parse({
    id: systemClock.newId(),
    type: 'upload.completed',
    tenant_id: 'acme',
    time: new Date().toISOString(),
    data: { upload_id, state: 'completed', file_id, size_bytes: 7 },
  });
}

const endpoint = process.env.LOCALSTACK_ENDPOINT;
if (endpoint) {
  describe('the bus, AWS', () => {
    const busName = `contract-${randomUUID()}`;
    const account = { endpoint, region: 'us-east-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } };
    const client = new EventBridgeClient(account);
    const sqs = new SQSClient({ ...account, useQueueUrlAsEndpoint: false });
    const rule = { EventBusName: busName, Name: 'of-millrace' };
    let QueueUrl = '';

    /** A rule of a user's own has the queue receive our events. */
    beforeAll(async () => {
      await client.send(new CreateEventBusCommand({ Name: busName }));
      QueueUrl = (await sqs.send(new CreateQueueCommand({ QueueName: busName }))).QueueUrl ?? '';
      const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }));
      await client.send(new PutRuleCommand({ ...rule, EventPattern: JSON.stringify({ source: ['millrace'] }) }));
      const Targets = [{ Id: 'queue', Arn: Attributes?.QueueArn }];
      await client.send(new PutTargetsCommand({ EventBusName: busName, Rule: rule.Name, Targets }));
    });
    afterAll(async () => {
      await client.send(new RemoveTargetsCommand({ EventBusName: busName, Rule: rule.Name, Ids: ['queue'] }));
      await client.send(new DeleteRuleCommand(rule));
      await client.send(new DeleteEventBusCommand({ Name: busName }));
      await sqs.send(new DeleteQueueCommand({ QueueUrl }));
      client.destroy();
      sqs.destroy();
    });

    it('takes more events than one call holds, and a rule gets each, unchanged', async () => {
      const events = Array.from({ length: 25 }, uploadCompleted);
      await new EventBridgeBus({ client, busName }).publish(events);
      const received = new Map<string, unknown>();
      const deadline = Date.now() + 30_000;
      while (received.size < events.length && Date.now() < deadline) {
        const receive = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 });
        for (const { Body = '' } of (await sqs.send(receive)).Messages ?? []) {
          const { 'detail-type': type, detail } = JSON.parse(Body);
          received.set(detail.id, { type, detail });
        }
      }
      expect(received).toEqual(new Map(events.map((detail) => [detail.id, { type: detail.type, detail }])));
    });
  });
}

describe('the bus on EventBridge under load', () => {
  /** Answers PutEvents as EventBridge does, and refuses the entries of the first calls that it is told to. */
  async function refusing(refusals: readonly (readonly number[])[]) {
    const calls: string[][] = [];
    const server = createServer(async (request, response) => {
      const { Entries } = (await json(request)) as { Entries: { Detail: string }[] };
      const refused = refusals[calls.length] ?? [];
      calls.push(Entries.map(({ Detail }) => JSON.parse(Detail).id));
      const entries = Entries.map((_, index) =>
        refused.includes(index) ? { ErrorCode: 'ThrottlingException' } : { EventId: String(index) },
      );
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.end(JSON.stringify({ FailedEntryCount: refused.length, Entries: entries }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = new EventBridgeClient({
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    onTestFinished(() => {
      client.destroy();
      server.close();
    });
    return { calls, bus: new EventBridgeBus({ client, busName: 'events' }) };
  }

  it('puts again the entries that were refused, and only those', async () => {
    const { calls, bus } = await refusing([[], [0, 1], [1]]);
    const events = Array.from({ length: 12 }, uploadCompleted);
    const ids = events.map(({ id }) => id);
    await bus.publish(events);
    expect(calls).toEqual([ids.slice(0, 10), ids.slice(10), ids.slice(10), ids.slice(11)]);
  });

  it('tells that the bus is busy when entries are refused again and again', async () => {
    const { calls, bus } = await refusing(Array.from({ length: 9 }, () => [0]));
    await expect(bus.publish([uploadCompleted()])).rejects.toMatchObject({ code: 'ServiceBusyError' });
    expect(calls.length).toBe(5);
  });
});
