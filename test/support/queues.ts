import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { queueHandler, SqsQueue } from '../../platform/aws/sqs-queue.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteQueue } from '../../platform/embedded/sqlite-queue.ts';
import type { Queue, QueueConsumer, QueueMessage } from '../../platform/ports/queue.ts';
import { silentLog } from './workflow-world.ts';

/** Deliveries of a message in tests, until it is a dead letter. */
export const MAX_RECEIVES = 3;

export interface TestQueue {
  readonly queue: Queue;
  /** Begins to deliver to one more consumer, as another process does; answers what ends that. */
  consume(consumer: QueueConsumer): () => Promise<void>;
  deadLetters(): Promise<QueueMessage[]>;
  close(): Promise<void>;
}

/** A queue in a database file. */
export async function createSqliteTestQueue(): Promise<TestQueue> {
  const folder = mkdtempSync(join(tmpdir(), 'queue-'));
  const database = openDatabase(join(folder, 'test.db'));
  const open = () => new SqliteQueue({ database, name: 'test', maxReceives: MAX_RECEIVES, log: silentLog });
  const consumed: SqliteQueue[] = [];
  return {
    queue: open(),
    consume(consumer) {
      const queue = open();
      consumed.push(queue);
      queue.start(consumer);
      return () => queue.stop();
    },
    deadLetters: async () =>
      database
        .prepare("SELECT body FROM queue_messages WHERE queue = 'test' AND dead = 1")
        .all()
        .map(({ body }) => JSON.parse(String(body))),
    close: async () => {
      await Promise.all(consumed.map((queue) => queue.stop()));
      database.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A new queue with a dead-letter queue, as the stacks make them, in the LocalStack at `endpoint`. */
export async function createSqsTestQueue(endpoint: string): Promise<TestQueue> {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const client = new SQSClient({ endpoint, region: 'us-east-1', credentials, useQueueUrlAsEndpoint: false });
  const createQueue = async (suffix: string, Attributes: Record<string, string>) => {
    const { QueueUrl = '' } = await client.send(
      new CreateQueueCommand({ QueueName: `queue-test-${randomUUID()}-${suffix}`, Attributes }),
    );
    return QueueUrl;
  };
  const deadUrl = await createQueue('dead', { VisibilityTimeout: '0' });
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: deadUrl, AttributeNames: ['QueueArn'] }),
  );
  const redrive = { deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: MAX_RECEIVES };
  const queueUrl = await createQueue('live', { VisibilityTimeout: '1', RedrivePolicy: JSON.stringify(redrive) });
  const stops: (() => Promise<void>)[] = [];
  return {
    queue: new SqsQueue({ client, queueUrl }),
    consume(consumer) {
      const stop = pollQueue(client, queueUrl, consumer);
      stops.push(stop);
      return stop;
    },
    async deadLetters() {
      const bodies = new Map<string | undefined, string>();
      for (let empty = 0; empty < 3; ) {
        const { Messages = [] } = await client.send(
          new ReceiveMessageCommand({ QueueUrl: deadUrl, MaxNumberOfMessages: 10 }),
        );
        const known = bodies.size;
        for (const { MessageId, Body = '' } of Messages) bodies.set(MessageId, Body);
        if (bodies.size === known) empty += 1;
      }
      return [...bodies.values()].map((body) => JSON.parse(body));
    },
    async close() {
      await Promise.all(stops.map((stop) => stop()));
      for (const QueueUrl of [queueUrl, deadUrl]) await client.send(new DeleteQueueCommand({ QueueUrl }));
      client.destroy();
    },
  };
}

/** Invokes the consumer's Lambda handler as an event source mapping does. */
function pollQueue(client: SQSClient, QueueUrl: string, consumer: QueueConsumer): () => Promise<void> {
  const handle = queueHandler(consumer);
  let stopping = false;
  const poll = async () => {
    while (!stopping) {
      const { Messages = [] } = await client.send(
        new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }),
      );
      if (Messages.length === 0) continue;
      const Records = Messages.map(({ MessageId, Body }) => ({ messageId: MessageId, body: Body }));
      // A failed invocation deletes nothing.
      const answer = await handle({ Records }).catch(() => undefined);
      const failed = answer?.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
      for (const { MessageId = '', ReceiptHandle } of Messages)
        if (failed && !failed.includes(MessageId))
          await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    }
  };
  const polling = poll();
  return async () => {
    stopping = true;
    await polling;
  };
}
