import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { SQSClient } from '@aws-sdk/client-sqs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { queueHandler, SqsQueue } from '../../platform/aws/sqs-queue.ts';
import type { QueueConsumer, QueueMessage } from '../../platform/ports/queue.ts';
import { createSqliteTestQueue, createSqsTestQueue, MAX_RECEIVES, type TestQueue } from '../support/queues.ts';

const localstack = process.env.LOCALSTACK_ENDPOINT;
const platforms: [string, () => Promise<TestQueue>][] = [['embedded', createSqliteTestQueue]];
if (localstack) platforms.push(['AWS', () => createSqsTestQueue(localstack)]);

const numbered = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ id: `event-${n}`, type: 'upload.completed', data: { n } }));

const idsOf = (messages: readonly QueueMessage[]) => messages.map(({ id }) => id).sort();

/** A consumer that records what it was given and what it took; `fails` names what it wants again, each time. */
function collector(fails: (message: QueueMessage) => boolean = () => false) {
  const batches: QueueMessage[][] = [];
  const taken: QueueMessage[] = [];
  const consumer: QueueConsumer = async (messages) => {
    batches.push([...messages]);
    const failed = messages.filter(fails);
    taken.push(...messages.filter((message) => !failed.includes(message)));
    return failed.length > 0 ? { retry: failed.map(({ id }) => id) } : undefined;
  };
  const triesOf = (id: string) => batches.flat().filter((message) => message.id === id).length;
  return { batches, taken, consumer, triesOf };
}

const until = (check: () => unknown) => vi.waitFor(check, { timeout: 30_000, interval: 20 });

describe.each(platforms)('a queue, %s', (_, create) => {
  async function open(): Promise<TestQueue> {
    const world = await create();
    onTestFinished(() => world.close());
    return world;
  }

  it('delivers every message unchanged, in batches of at most ten', async () => {
    const { queue, consume } = await open();
    const messages = numbered(25);
    await queue.send(messages);
    const { batches, taken, consumer } = collector();
    consume(consumer);
    await until(() => expect(idsOf(taken)).toEqual(idsOf(messages)));
    expect(taken).toEqual(expect.arrayContaining(messages));
    const sizes = batches.map(({ length }) => length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10);
    expect(Math.max(...sizes)).toBeGreaterThan(1);
  });

  it('delivers again what the consumer names, and not the rest of the batch', async () => {
    const { queue, consume } = await open();
    const messages = numbered(10);
    await queue.send(messages);
    let failures = 2;
    const { taken, consumer, triesOf } = collector(({ id }) => id === 'event-3' && failures-- > 0);
    consume(consumer);
    await until(() => expect(idsOf(taken)).toEqual(idsOf(messages)));
    expect(messages.map(({ id }) => triesOf(id))).toEqual([1, 1, 1, 3, 1, 1, 1, 1, 1, 1]);
  });

  it('delivers the whole batch again when the consumer throws', async () => {
    const { queue, consume } = await open();
    const messages = numbered(4);
    await queue.send(messages);
    const { taken, consumer, batches } = collector();
    let throws = 1;
    const given: number[] = [];
    consume(async (batch) => {
      given.push(batch.length);
      if (throws-- > 0) throw new Error('not now');
      return consumer(batch);
    });
    await until(() => expect(idsOf(taken)).toEqual(idsOf(messages)));
    expect(given.length).toBe(batches.length + 1);
  });

  it('has the whole batch again when the consumer names a message that is not in it', async () => {
    const { queue, consume } = await open();
    await queue.send(numbered(1));
    let tries = 0;
    consume(async () => {
      tries += 1;
      return tries === 1 ? { retry: ['event-9'] } : undefined;
    });
    await until(() => expect(tries).toBe(2));
  });

  it(`makes a dead letter of a message that was delivered ${MAX_RECEIVES} times, and holds up no other`, async () => {
    const { queue, consume, deadLetters } = await open();
    const [poison, ...others] = numbered(6);
    if (!poison) throw new Error('no message');
    await queue.send([poison, ...others]);
    const { taken, consumer, triesOf } = collector(({ id }) => id === poison.id);
    consume(consumer);
    await until(async () => expect(await deadLetters()).toEqual([poison]));
    expect(idsOf(taken)).toEqual(idsOf(others));
    expect(triesOf(poison.id)).toBe(MAX_RECEIVES);
    await pause(1_500);
    expect(triesOf(poison.id)).toBe(MAX_RECEIVES);
  });

  it('carries any text and values', async () => {
    const { queue, consume } = await open();
    const message = {
      id: 'ereignis-ü-😀',
      text: 'tab\t, nul\u0000, escape\u001b, delete\u007f, é, 漢字, 😀, \u2028, \ufffd\ufffe\uffff, "quoted" \\ </a>',
      values: [0, -1.5, 1e21, true, false, null, '', [], {}, { deep: [[{ a: 'b' }]] }],
      'ключ \ufffe': 1,
    };
    await queue.send([message]);
    const { taken, consumer } = collector();
    consume(consumer);
    await until(() => expect(taken).toEqual([message]));
  });

  it('carries messages of up to 256 KiB, however many are sent at once', async () => {
    const { queue, consume } = await open();
    const overhead = JSON.stringify({ id: 'event-0', text: '' }).length;
    const largest = { id: 'event-0', text: 'é'.repeat((256 * 1024 - overhead) / 2) };
    // Ten of these are 1 MB, four times what one call may hold.
    const large = numbered(12)
      .slice(1)
      .map((message) => ({ ...message, text: 'x'.repeat(100_000) }));
    const messages = [largest, ...large];
    await queue.send(messages);
    const { taken, consumer } = collector();
    consume(consumer);
    await until(() => expect(idsOf(taken)).toEqual(idsOf(messages)));
    expect(taken.find(({ id }) => id === largest.id)).toEqual(largest);
  });

  it('refuses a message above 256 KiB, and sends none of its batch', async () => {
    const { queue, consume } = await open();
    const tooLarge = { id: 'large', text: 'é'.repeat(128 * 1024) };
    await expect(queue.send([...numbered(11), tooLarge])).rejects.toThrow('message large has');
    const { taken, consumer } = collector();
    consume(consumer);
    await queue.send([{ id: 'after' }]);
    await until(() => expect(taken).toEqual([{ id: 'after' }]));
  });

  it('takes no messages at all', async () => {
    const { queue, consume } = await open();
    await queue.send([]);
    const { batches, consumer } = collector();
    const stop = consume(consumer);
    await pause(300);
    await stop();
    expect(batches).toEqual([]);
  });

  it('gives each message to one of the consumers that share it', async () => {
    const { queue, consume } = await open();
    const shares = [collector(), collector()];
    for (const { consumer } of shares)
      consume(async (messages) => {
        await pause(50);
        return consumer(messages);
      });
    const messages = numbered(100);
    await queue.send(messages);
    const taken = () => shares.flatMap((share) => share.taken);
    await until(() => expect(idsOf(taken())).toEqual(idsOf(messages)));
    for (const share of shares) expect(share.taken.length).toBeGreaterThan(0);
  });
});

describe('a queue on SQS under load', () => {
  type Answer = 'Stored' | 'Throttled' | 'Refused';

  /** Answers SendMessageBatch as SQS does; `script` says what becomes of the entries of the first calls. */
  async function scripted(script: readonly (readonly Answer[])[]) {
    const calls: string[][] = [];
    const server = createServer(async (request, response) => {
      const { Entries } = (await json(request)) as { Entries: { Id: string; MessageBody: string }[] };
      const answers = Entries.map((entry, index) => ({ ...entry, answer: script[calls.length]?.[index] ?? 'Stored' }));
      calls.push(Entries.map(({ MessageBody }) => JSON.parse(MessageBody).id));
      response.setHeader('content-type', 'application/x-amz-json-1.0');
      response.end(
        JSON.stringify({
          Successful: answers.filter(({ answer }) => answer === 'Stored').map(({ Id }) => ({ Id, MessageId: Id })),
          Failed: answers
            .filter(({ answer }) => answer !== 'Stored')
            .map(({ Id, answer }) => ({ Id, Code: answer, SenderFault: answer === 'Refused' })),
        }),
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const endpoint = `http://127.0.0.1:${port}`;
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
    const client = new SQSClient({ endpoint, region: 'us-east-1', credentials, md5: false });
    onTestFinished(() => {
      client.destroy();
      server.close();
    });
    return { calls, queue: new SqsQueue({ client, queueUrl: `${endpoint}/000000000000/events` }) };
  }

  it('sends again the messages that were refused, and only those', async () => {
    const { calls, queue } = await scripted([[], ['Throttled', 'Throttled'], ['Stored', 'Throttled']]);
    const messages = numbered(12);
    const ids = messages.map(({ id }) => id);
    await queue.send(messages);
    expect(calls).toEqual([ids.slice(0, 10), ids.slice(10), ids.slice(10), ids.slice(11)]);
  });

  it('reports that it is busy when messages are refused again and again', async () => {
    const { calls, queue } = await scripted(Array.from({ length: 9 }, () => ['Throttled']));
    await expect(queue.send(numbered(1))).rejects.toMatchObject({ code: 'ServiceBusyError' });
    expect(calls.length).toBe(5);
  });

  it('throws at once when a message is at fault', async () => {
    const { calls, queue } = await scripted([['Stored', 'Refused']]);
    await expect(queue.send(numbered(2))).rejects.toThrow('Refused');
    expect(calls.length).toBe(1);
  });
});

describe('a Lambda that consumes a queue', () => {
  const record = (messageId: string, body: string) => ({ messageId, body });

  it('names the records of what the consumer wants again, each of two with one id', async () => {
    const handle = queueHandler(async () => ({ retry: ['b'] }));
    const Records = ['a', 'b', 'b'].map((id, index) => record(`m${index}`, JSON.stringify({ id })));
    expect(await handle({ Records })).toEqual({
      batchItemFailures: [{ itemIdentifier: 'm1' }, { itemIdentifier: 'm2' }],
    });
  });

  it('fails what is no message alone, without giving it to the consumer', async () => {
    const { taken, consumer } = collector();
    const Records = [record('m0', 'no JSON'), record('m1', '{"id":"a"}'), record('m2', '[]'), record('m3', '{"id":1}')];
    expect(await queueHandler(consumer)({ Records })).toEqual({
      batchItemFailures: ['m0', 'm2', 'm3'].map((itemIdentifier) => ({ itemIdentifier })),
    });
    expect(taken).toEqual([{ id: 'a' }]);
  });
});
