import { MAX_MESSAGE_BYTES, type QueueMessage } from './queue.ts';

/** At most this many messages a batch: SQS sends and, without a batching window, delivers no more at once. */
export const MAX_BATCH_MESSAGES = 10;

/** Serializes a message for any queue; throws if it is too large. */
export function messageText(message: QueueMessage): string {
  // SQS refuses these two characters: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
  const text = JSON.stringify(message).replace(/[\ufffe\uffff]/g, (character) =>
    character === '\ufffe' ? '\\ufffe' : '\\uffff',
  );
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > MAX_MESSAGE_BYTES)
    throw new Error(`queue: message ${message.id} has ${sizeBytes} bytes, more than ${MAX_MESSAGE_BYTES}`);
  return text;
}

/** Splits a batch by the ids that a consumer wants again; throws if one of them is not in it. */
export function failedIn<Received extends { readonly message: QueueMessage }>(
  batch: readonly Received[],
  retry: readonly string[],
): Received[] {
  const ids = new Set(retry);
  const failed = batch.filter(({ message }) => ids.has(message.id));
  const unknown = retry.find((id) => !batch.some(({ message }) => message.id === id));
  if (unknown !== undefined) throw new Error(`the batch has no message ${unknown}`);
  return failed;
}
