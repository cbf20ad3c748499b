import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import * as z from 'zod/mini';
import type { Change, ChangeConsumer, Item } from '../ports/table.ts';
import { fromAttributes } from './dynamo-values.ts';

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html */
const SEQ_DIGITS = 40;

const Attributes = z.record(
  z.string(),
  z.custom<AttributeValue>((value) => typeof value === 'object'),
);
const StreamEvent = z.object({
  Records: z.array(
    z.object({
      dynamodb: z.object({
        SequenceNumber: z.string().check(z.regex(/^\d+$/)),
        Keys: Attributes,
        OldImage: z.optional(Attributes),
        NewImage: z.optional(Attributes),
      }),
    }),
  ),
});
type StreamRecord = z.infer<typeof StreamEvent>['Records'][number]['dynamodb'];

/** What Lambda takes as the record to go on with: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html */
export interface StreamBatchResponse {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
}

/**
 * A Lambda handler of a DynamoDB stream with both images, whose event source mapping reports batch item failures.
 * A throw of the consumer fails the invocation, so that Lambda counts it and delivers the batch again.
 */
export function streamHandler(consumer: ChangeConsumer): (event: unknown) => Promise<StreamBatchResponse> {
  return async (event) => {
    const records = StreamEvent.parse(event).Records.map(({ dynamodb }) => dynamodb);
    const changes = records.map(toChange);
    const outcome = await consumer(changes);
    if (!outcome) return { batchItemFailures: [] };
    const failed = changes.findIndex(({ seq }) => seq === outcome.retryFrom);
    const record = records[failed];
    if (!record) throw new Error(`the batch has no change ${outcome.retryFrom}`);
    return { batchItemFailures: [{ itemIdentifier: record.SequenceNumber }] };
  };
}

function toChange({ SequenceNumber, Keys, OldImage, NewImage }: StreamRecord): Change {
  const { pk, sk } = fromAttributes(Keys) as Item;
  return {
    // They are numbers of different lengths.
    seq: SequenceNumber.padStart(SEQ_DIGITS, '0'),
    key: { pk, sk },
    ...(OldImage ? { before: fromAttributes(OldImage) as Item } : {}),
    ...(NewImage ? { after: fromAttributes(NewImage) as Item } : {}),
  };
}
