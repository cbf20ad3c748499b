/** A message is an event: JSON with an id that stays the same when it is sent again. At most 256 KiB as JSON text. */
export interface QueueMessage {
  readonly id: string;
}

/** The largest message, in bytes of JSON text. SQS takes this much in one message, and in all messages of one call. */
export const MAX_MESSAGE_BYTES = 256 * 1024;

/** Carries messages to one consumer: each at least once, in no particular order. */
export interface Queue {
  /**
   * Resolves when all messages are stored; after an error, some of them may be. Sending a message again is safe: the
   * consumer drops what it has seen, by `id`. `ServiceBusyError` when the queue refuses some again and again. A message
   * that breaks a bound throws a plain Error before any is sent: it is a defect.
   */
  send(messages: readonly QueueMessage[]): Promise<void>;
}

/**
 * Takes a batch of 1–10 messages. `retry` names, by `id`, those to deliver again; the others are deleted. A throw has the
 * whole batch delivered again. After a number of deliveries that the queue sets, a message becomes a dead letter.
 */
export type QueueConsumer<Message extends QueueMessage = QueueMessage> = (
  messages: readonly Message[],
) => Promise<{ readonly retry: readonly string[] } | undefined>;
