import { setTimeout as pause } from 'node:timers/promises';
import {
  BatchWriteItemCommand,
  type CancellationReason,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  DynamoDBServiceException,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  TransactionCanceledException,
  TransactionInProgressException,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb';
import { backoffMs } from '../../contract/backoff.ts';
import { DomainError } from '../../contract/errors.ts';
import { conditionsHold } from '../ports/conditions.ts';
import { cursorAfter, startOf } from '../ports/cursor.ts';
import { mapAtMost } from '../ports/map-at-most.ts';
import type { Item, Key, Page, Query, Table, TransactResult, Write, WriteResult } from '../ports/table.ts';
import { checkItem, checkKey, checkQuery, checkTransaction, checkWrite } from '../ports/table-bounds.ts';
import { Operands, transactItemOf } from './dynamo-expressions.ts';
import { type Attributes, fromAttributes, toAttributes } from './dynamo-values.ts';
import { isConnectionFailure } from './outage.ts';

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html */
const MAX_BATCH_ITEMS = 25;
const BATCHES_AT_ONCE = 4;

/** Pauses of up to 25 + 50 + 100 + 200 + 400 × 4 ms: 2 s in all. */
const MAX_TRIES = 9;
const BACKOFF = { firstMs: 25, longestMs: 400 };

/** What cancels a transaction, or refuses a write, though nothing is wrong with it. */
const CONFLICTS = [
  'TransactionConflict',
  'TransactionConflictException',
  'ThrottlingError',
  'ProvisionedThroughputExceeded',
];
/** The SDK has tried three times by then. */
const THROTTLED = ['ThrottlingException', 'ProvisionedThroughputExceededException', 'RequestLimitExceeded'];

const INSIDE_RETRIES = { relation: 'after', toMiddleware: 'retryMiddleware', name: 'noteLostAnswers' } as const;

/** A table answers in milliseconds: a connection that hangs is given up while its caller still waits, and tried again. */
const PATIENCE = { connectionTimeout: 2_000, requestTimeout: 8_000, throwOnRequestTimeout: true };

/** A table whose client gives up connections that hang. */
export function openDynamoTable(tableName: string): DynamoTable {
  return new DynamoTable({ client: new DynamoDBClient({ requestHandler: PATIENCE }), tableName });
}

/** A `Table` on DynamoDB: keys `pk` and `sk`, indexes `g1-index` and `g2-index` that project all attributes. */
export class DynamoTable implements Table {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;

  constructor(options: { client: DynamoDBClient; tableName: string }) {
    this.#client = options.client;
    this.#tableName = options.tableName;
  }

  async get(key: Key): Promise<Item | undefined> {
    checkKey(key);
    const command = new GetItemCommand({ TableName: this.#tableName, Key: keyAttributes(key), ConsistentRead: true });
    const { Item } = await untilNoConflict(() => this.#client.send(command));
    return toItem(Item);
  }

  async query(query: Query): Promise<Page> {
    checkQuery(query);
    const request = this.#queryRequest(query);
    // One more than asked for tells whether a page follows.
    const { Items = [], LastEvaluatedKey } = await untilNoConflict(() =>
      this.#client.send(new QueryCommand({ ...request, Limit: query.limit + 1 })),
    );
    const items = Items.slice(0, query.limit).map((attributes) => fromAttributes(attributes) as Item);
    const last = items.at(-1);
    const more = Items.length > query.limit || LastEvaluatedKey;
    return last && more ? { items, cursor: cursorAfter(query, last) } : { items };
  }

  async write(write: Write): Promise<WriteResult> {
    checkWrite(write);
    if (write.op === 'check') {
      const item = await this.get(write.key);
      return { ok: write.if === 'missing' ? item === undefined : conditionsHold(write.if, item), item };
    }
    return untilNoConflict(() => this.#writeOnce(write));
  }

  async transact(writes: readonly Write[]): Promise<TransactResult> {
    checkTransaction(writes);
    const items = writes.map((write) => transactItemOf(this.#tableName, write));
    return untilNoConflict(async () => {
      try {
        // The SDK gives each command a token, so that its own repetitions do no harm.
        await this.#client.send(new TransactWriteItemsCommand({ TransactItems: items }));
        return { ok: true };
      } catch (error) {
        const failed = reasonsOf(error).flatMap(({ Code, Item }, index) =>
          Code === 'ConditionalCheckFailed' ? [{ index, item: toItem(Item) }] : [],
        );
        // Conditions of writes that lost a conflict were not looked at: the next try tells all that fail.
        if (failed.length === 0 || isConflict(error)) throw error;
        return { ok: false, failed };
      }
    });
  }

  async putAll(items: readonly Item[]): Promise<void> {
    for (const item of items) checkItem(item);
    // A request may not name an item twice.
    const different = [...new Map(items.map((item) => [JSON.stringify([item.pk, item.sk]), item])).values()];
    const batches = Array.from({ length: Math.ceil(different.length / MAX_BATCH_ITEMS) }, (_, n) =>
      different.slice(n * MAX_BATCH_ITEMS, (n + 1) * MAX_BATCH_ITEMS),
    );
    await mapAtMost(BATCHES_AT_ONCE, batches, (batch) => this.#putBatch(batch));
  }

  async #putBatch(items: readonly Item[]): Promise<void> {
    let left: WriteRequest[] = items.map((item) => ({ PutRequest: { Item: toAttributes(item) } }));
    await untilNoConflict(async () => {
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#tableName]: left } });
      const { UnprocessedItems } = await this.#client.send(command);
      left = UnprocessedItems?.[this.#tableName] ?? [];
      if (left.length > 0) throw new Unprocessed(`${left.length} items were not written`);
    });
  }

  /**
   * A repetition of a request that was done, though its answer was lost, would add twice, or say that the conditions did
   * not hold when they did: `ServiceBusyError` instead, as after any answer that got lost.
   */
  async #writeOnce(write: Write): Promise<WriteResult> {
    const adds = write.op === 'update' && write.add !== undefined;
    let unknown: unknown;
    const noteLostAnswer = (error: unknown) => {
      unknown = error;
      if (adds) throw new LostAnswer();
    };
    try {
      return { ok: true, item: await this.#send(write, noteLostAnswer) };
    } catch (error) {
      if (error instanceof LostAnswer) throw busy(unknown);
      if (!(error instanceof ConditionalCheckFailedException)) throw error;
      if (unknown) throw busy(unknown);
      return { ok: false, item: toItem(error.Item) };
    }
  }

  /** Answers the item as it is after the write. */
  async #send(write: Write, onLostAnswer: (error: unknown) => void): Promise<Item | undefined> {
    const { Put, Update, Delete } = transactItemOf(this.#tableName, write);
    const middleware = noteLostAnswers(onLostAnswer);
    if (write.op === 'put' && Put) {
      const command = new PutItemCommand(Put);
      command.middlewareStack.addRelativeTo(middleware, INSIDE_RETRIES);
      await this.#client.send(command);
      return write.item;
    }
    if (Update) {
      const command = new UpdateItemCommand({ ...Update, ReturnValues: 'ALL_NEW' });
      command.middlewareStack.addRelativeTo(middleware, INSIDE_RETRIES);
      return toItem((await this.#client.send(command)).Attributes);
    }
    if (Delete) {
      const command = new DeleteItemCommand(Delete);
      command.middlewareStack.addRelativeTo(middleware, INSIDE_RETRIES);
      await this.#client.send(command);
    }
    return undefined;
  }

  #queryRequest(query: Query): QueryCommandInput {
    const { pk, index, prefix, between, descending = false } = query;
    const [pkName, skName] = index ? [`${index}pk`, `${index}sk`] : ['pk', 'sk'];
    const operands = new Operands();
    const conditions = [`${operands.name(pkName)} = ${operands.value(pk)}`];
    if (prefix) conditions.push(`begins_with(${operands.name(skName)}, ${operands.value(prefix)})`);
    if (between) {
      const [first, last] = between.map((sk) => operands.value(sk));
      conditions.push(`${operands.name(skName)} BETWEEN ${first} AND ${last}`);
    }
    const start = startOf(query);
    return {
      TableName: this.#tableName,
      ...(index ? { IndexName: `${index}-index` } : { ConsistentRead: true }),
      KeyConditionExpression: conditions.join(' AND '),
      ScanIndexForward: !descending,
      ...(start ? { ExclusiveStartKey: toAttributes({ [pkName]: pk, [skName]: start.sk, ...start.key }) } : {}),
      ...operands.request(),
    };
  }
}

class Unprocessed extends Error {}
class LostAnswer extends Error {}

async function untilNoConflict<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await run();
    } catch (error) {
      const isThrottled = error instanceof Error && THROTTLED.includes(error.name);
      if (isOutage(error) || isThrottled) throw busy(error);
      if (!isConflict(error)) throw error;
      if (tries === MAX_TRIES) throw busy(error);
      await pause(backoffMs(tries, BACKOFF));
    }
  }
}

function reasonsOf(error: unknown): CancellationReason[] {
  return (error instanceof TransactionCanceledException && error.CancellationReasons) || [];
}

/** Nothing was done; it may be tried again. */
function isConflict(error: unknown): boolean {
  if (error instanceof Unprocessed) return true;
  const names = error instanceof Error ? [error.name, ...reasonsOf(error).map(({ Code = '' }) => Code)] : [];
  return names.some((name) => CONFLICTS.includes(name));
}

/** No answer, or one of a failing server; what was asked for may have been done. */
function isOutage(error: unknown): boolean {
  // A repetition by the SDK met the transaction itself.
  if (error instanceof TransactionInProgressException) return true;
  if (error instanceof DynamoDBServiceException && error.$metadata.httpStatusCode)
    return error.$metadata.httpStatusCode >= 500;
  return isConnectionFailure(error);
}

function busy(cause: unknown): DomainError {
  return new DomainError('ServiceBusyError', 'the table is busy', {}, { cause });
}

/** Has every answer noticed that gets lost, before the SDK repeats the request. */
function noteLostAnswers(onLostAnswer: (error: unknown) => void) {
  return <Input, Output>(next: (input: Input) => Promise<Output>) =>
    async (input: Input): Promise<Output> => {
      try {
        return await next(input);
      } catch (error) {
        if (isOutage(error)) onLostAnswer(error);
        throw error;
      }
    };
}

function keyAttributes({ pk, sk }: Key): Attributes {
  return toAttributes({ pk, sk });
}

function toItem(attributes: Attributes | undefined): Item | undefined {
  return attributes && (fromAttributes(attributes) as Item);
}
