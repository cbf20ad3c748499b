import { setTimeout as pause } from 'node:timers/promises';
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import * as z from 'zod/mini';
import { backoffMs } from '../../contract/backoff.ts';
import { DomainError } from '../../contract/errors.ts';
import { MAX_MESSAGE_BYTES, type Queue, type QueueConsumer, type QueueMessage } from '../ports/queue.ts';
import { failedIn, MAX_BATCH_MESSAGES, messageText } from '../ports/queue-bounds.ts';

/** Pauses of up to 100 + 200 + 400 + 800 ms: 1.5 s in all. */
const MAX_TRIES = 5;
const BACKOFF = { firstMs: 100, longestMs: 800 };

export function openSqsQueue(queueUrl: string): SqsQueue {
  return new SqsQueue({ client: new SQSClient(), queueUrl });
}

/** A `Queue` on an SQS standard queue: the body of a message is its JSON. */
export class SqsQueue implements Queue {
  readonly #client: SQSClient;
  readonly #queueUrl: string;

  constructor(options: { client: SQSClient; queueUrl: string }) {
    this.#client = options.client;
    this.#queueUrl = options.queueUrl;
  }

  async send(messages: readonly QueueMessage[]): Promise<void> {
    for (const batch of batchesOf(messages.map(messageText))) await this.#sendUntilStored(batch);
  }

  async #sendUntilStored(batch: readonly string[]): Promise<void> {
    let left = batch;
    let refusal = '';
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      if (attempt > 0) await pause(backoffMs(attempt, BACKOFF));
      const Entries = left.map((MessageBody, index) => ({ Id: String(index), MessageBody }));
      const { Failed = [] } = await this.#client.send(
        new SendMessageBatchCommand({ QueueUrl: this.#queueUrl, Entries }),
      );
      const defect = Failed.find(({ SenderFault }) => SenderFault);
      if (defect) throw new Error(`the queue takes no such message: ${defect.Code} ${defect.Message ?? ''}`);
      if (Failed.length === 0) return;
      left = Failed.flatMap(({ Id }) => left[Number(Id)] ?? []);
      refusal = Failed[0]?.Code ?? '';
    }
    throw new DomainError('ServiceBusyError', `the queue refused ${left.length} messages: ${refusal}`);
  }
}

/** One call takes 10 messages, and as many bytes in all as one message may have. */
function batchesOf(texts: readonly string[]): string[][] {
  const batches: string[][] = [];
  let bytesLeft = 0;
  for (const text of texts) {
    const sizeBytes = Buffer.byteLength(text);
    const batch = batches.at(-1);
    if (batch && batch.length < MAX_BATCH_MESSAGES && sizeBytes <= bytesLeft) {
      batch.push(text);
    } else {
      batches.push([text]);
      bytesLeft = MAX_MESSAGE_BYTES;
    }
    bytesLeft -= sizeBytes;
  }
  return batches;
}

const QueueEvent = z.object({ Records: z.array(z.object({ messageId: z.string(), body: z.string() })) });
const Message = z.looseObject({ id: z.string() });

/** What Lambda takes as the messages to deliver again: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html */
export interface QueueBatchResponse {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
}

/**
 * Handles an SQS event source mapping that reports batch item failures. A throw of the consumer fails the invocation,
 * so that Lambda counts it and the whole batch is delivered again. A body that is no message fails alone.
 */
export function queueHandler<Message extends QueueMessage>(
  consumer: QueueConsumer<Message>,
): (event: unknown) => Promise<QueueBatchResponse> {
  return async (event) => {
    const records = QueueEvent.parse(event).Records.map(({ messageId, body }) => ({
      messageId,
      message: parse<Message>(body),
    }));
    const batch = records.flatMap(({ messageId, message }) => (message ? { messageId, message } : []));
    const outcome = batch.length > 0 ? await consumer(batch.map(({ message }) => message)) : undefined;
    const failed = [...records.filter(({ message }) => !message), ...failedIn(batch, outcome?.retry ?? [])];
    return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
  };
}

/** What was sent is trusted to be what the consumer takes. */
function parse<Sent extends QueueMessage>(body: string): Sent | undefined {
  try {
    return Message.parse(JSON.parse(body)) as Sent;
  } catch {
    return undefined;
  }
}
