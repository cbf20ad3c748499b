import { describe, expect, it } from 'vitest';
import { streamHandler } from '../../platform/aws/stream-changes.ts';
import type { Change } from '../../platform/ports/table.ts';

const keysOf = (sk: string) => ({ sk: { S: sk }, pk: { S: 'p' } });

/** A record as Lambda gets it: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html */
const record = (SequenceNumber: string, images: object, eventName = 'MODIFY', sk = 's') => ({
  eventID: 'c4ca4238a0b923820dcc509a6f75849b',
  eventName,
  eventVersion: '1.1',
  eventSource: 'aws:dynamodb',
  awsRegion: 'us-east-1',
  dynamodb: {
    ApproximateCreationDateTime: 1_767_225_600,
    Keys: keysOf(sk),
    ...images,
    SequenceNumber,
    SizeBytes: 59,
    StreamViewType: 'NEW_AND_OLD_IMAGES',
  },
  eventSourceARN: 'arn:aws:dynamodb:us-east-1:123456789012:table/uploads/stream/2026-01-01T00:00:00.000',
});
const event = {
  Records: [
    record('44615840000000000000000001', { NewImage: { ...keysOf('s'), n: { N: '1' } } }, 'INSERT'),
    record('100000000003498069978', { OldImage: { ...keysOf('s'), n: { N: '1' } }, NewImage: { ...keysOf('s') } }),
    record('44615840000000000000000003', { OldImage: keysOf('t') }, 'REMOVE', 't'),
  ],
};

describe('a Lambda that gets a table’s stream', () => {
  it('gives all changes of an event to the consumer at once, in order', async () => {
    const batches: (readonly Change[])[] = [];
    const handle = streamHandler(async (changes) => {
      batches.push(changes);
      return undefined;
    });
    expect(await handle(event)).toEqual({ batchItemFailures: [] });
    const [s, t] = [
      { pk: 'p', sk: 's' },
      { pk: 'p', sk: 't' },
    ];
    expect(batches).toEqual([
      [
        { seq: '0000000000000044615840000000000000000001', key: s, after: { ...s, n: 1 } },
        { seq: '0000000000000000000100000000003498069978', key: s, before: { ...s, n: 1 }, after: s },
        { seq: '0000000000000044615840000000000000000003', key: t, before: t },
      ],
    ]);
  });

  it('has Lambda go on with the change that the consumer names, by its sequence number', async () => {
    const handle = streamHandler(async (changes) => ({ retryFrom: changes[1]?.seq ?? '' }));
    expect(await handle(event)).toEqual({ batchItemFailures: [{ itemIdentifier: '100000000003498069978' }] });
  });

  it('fails when the consumer throws, or names a change that is none of the event', async () => {
    const failing = streamHandler(async () => {
      throw new Error('not now');
    });
    await expect(failing(event)).rejects.toThrow('not now');
    await expect(streamHandler(async () => ({ retryFrom: '7' }))(event)).rejects.toThrow('no change 7');
  });

  it.each([undefined, {}, { Records: [{}] }, { Records: [{ dynamodb: { SequenceNumber: 'x', Keys: {} } }] }])(
    'refuses what is no event of a stream: %j',
    async (wrong) => {
      await expect(streamHandler(async () => undefined)(wrong)).rejects.toThrow();
    },
  );
});
