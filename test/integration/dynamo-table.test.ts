import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DynamoTable } from '../../platform/aws/dynamo-table.ts';
import { createDynamoClient } from '../support/tables.ts';

interface Call {
  readonly action: string;
  // biome-ignore lint/suspicious/noExplicitAny: requests as DynamoDB gets them
  readonly body: any;
}

type Answer = { status?: number; body: object } | 'lost';

const key = { pk: 'p', sk: 's' };
const ok: Answer = { body: {} };
const failure = (status: number, type: string, more = {}): Answer => ({
  status,
  body: { __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'told to', ...more },
});
const conditionFailed = failure(400, 'ConditionalCheckFailedException', { Item: { pk: { S: 'p' }, sk: { S: 's' } } });
const conflict = failure(400, 'TransactionConflictException');
const cancelled = (...codes: string[]) =>
  failure(400, 'TransactionCanceledException', { CancellationReasons: codes.map((Code) => ({ Code })) });

/** A table whose DynamoDB answers what it is told to, and the last again and again. */
async function openTable(...answers: Answer[]) {
  const calls: Call[] = [];
  const server = createServer(async (request, response) => {
    const action = String(request.headers['x-amz-target']).split('.')[1] ?? '';
    // Read first: of requests that come at once, each has its own answer.
    const body = await json(request);
    const answer = answers[Math.min(calls.length, answers.length - 1)];
    calls.push({ action, body });
    if (answer === 'lost') {
      request.socket.destroy();
      return;
    }
    response.writeHead(answer?.status ?? 200, { 'content-type': 'application/x-amz-json-1.0' });
    response.end(JSON.stringify(answer?.body));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = createDynamoClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { maxAttempts: 2 });
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  return { calls, table: new DynamoTable({ client, tableName: 'table' }) };
}

const busy = { code: 'ServiceBusyError' };

describe('a table on DynamoDB', () => {
  it('reads strongly consistent, but from an index', async () => {
    const { table, calls } = await openTable(ok);
    await table.get(key);
    await table.query({ pk: 'p', limit: 1 });
    await table.query({ pk: 'p', index: 'g1', limit: 1 });
    expect(calls.map(({ body }) => body.ConsistentRead)).toEqual([true, true, undefined]);
    expect(calls[2]?.body.IndexName).toBe('g1-index');
  });

  it('tries again what lost a conflict, and tells after some tries that it is busy', async () => {
    const once = await openTable(conflict, ok);
    expect(await once.table.write({ op: 'put', item: key })).toEqual({ ok: true, item: key });
    const always = await openTable(conflict);
    await expect(always.table.write({ op: 'put', item: key })).rejects.toMatchObject(busy);
    expect(always.calls.length).toBe(9);
  });

  it('tries a transaction again that lost a conflict, even if another condition failed', async () => {
    const { table, calls } = await openTable(
      cancelled('None', 'TransactionConflict'),
      cancelled('ConditionalCheckFailed', 'TransactionConflict'),
      cancelled('ConditionalCheckFailed', 'ConditionalCheckFailed'),
    );
    const writes = ['a', 'b'].map((sk) => ({ op: 'put', item: { pk: 'p', sk }, unlessExists: true }) as const);
    expect(await table.transact(writes)).toEqual({ ok: false, failed: [{ index: 0 }, { index: 1 }] });
    expect(new Set(calls.map(({ body }) => body.ClientRequestToken)).size).toBe(3);
  });

  it('repeats a transaction whose answer was lost under the same token, and never under another', async () => {
    const lost = await openTable('lost', ok);
    expect(await lost.table.transact([{ op: 'put', item: key }])).toEqual({ ok: true });
    expect(new Set(lost.calls.map(({ body }) => body.ClientRequestToken)).size).toBe(1);
    const running = await openTable('lost', failure(400, 'TransactionInProgressException'));
    await expect(running.table.transact([{ op: 'put', item: key }])).rejects.toMatchObject(busy);
    expect(new Set(running.calls.map(({ body }) => body.ClientRequestToken)).size).toBe(1);
  });

  it.each(['lost', failure(500, 'InternalServerError'), failure(503, 'ServiceUnavailable')] as Answer[])(
    'never repeats an addition that may have been done: %j',
    async (answer) => {
      const { table, calls } = await openTable(answer, ok);
      const update = { op: 'update', key, add: { n: 1 } } as const;
      await expect(table.write(update)).rejects.toMatchObject(busy);
      expect(calls.length).toBe(1);
    },
  );

  it('does not say that a condition failed when it may be the write itself that it met', async () => {
    const met = await openTable('lost', conditionFailed);
    const put = { op: 'put', item: key, unlessExists: true } as const;
    await expect(met.table.write(put)).rejects.toMatchObject(busy);
    const undone = await openTable('lost', ok);
    expect(await undone.table.write(put)).toEqual({ ok: true, item: key });
    const other = await openTable(conflict, conditionFailed);
    expect(await other.table.write(put)).toEqual({ ok: false, item: key });
  });

  it('tells that it is busy when DynamoDB does not answer or is throttled', async () => {
    for (const answer of [
      'lost',
      failure(500, 'InternalServerError'),
      failure(400, 'ThrottlingException'),
    ] as Answer[]) {
      const { table } = await openTable(answer);
      await expect(table.get(key)).rejects.toMatchObject(busy);
    }
  });

  it('throws what is a defect as it is', async () => {
    const { table, calls } = await openTable(failure(400, 'ValidationException'));
    await expect(table.write({ op: 'put', item: key })).rejects.toMatchObject({ name: 'ValidationException' });
    expect(calls.length).toBe(1);
  });

  it('puts in batches of 25, and again what was not processed', async () => {
    const request = (sk: string) => ({ PutRequest: { Item: { pk: { S: 'p' }, sk: { S: sk } } } });
    const { table, calls } = await openTable({ body: { UnprocessedItems: { table: [request('7')] } } }, ok);
    await table.putAll(Array.from({ length: 60 }, (_, n) => ({ pk: 'p', sk: `${n % 51}` })));
    const sks = calls.map(({ body }) =>
      body.RequestItems.table.map((each: ReturnType<typeof request>) => each.PutRequest.Item.sk.S),
    );
    const numbers = Array.from({ length: 51 }, (_, n) => `${n}`);
    expect(sks.map(({ length }) => length).sort()).toEqual([1, 1, 25, 25]);
    expect(sks.flat().sort()).toEqual([...numbers, '7'].sort());
  });
});
