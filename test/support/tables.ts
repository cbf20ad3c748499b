import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import { DynamoTable } from '../../platform/aws/dynamo-table.ts';
import { streamHandler } from '../../platform/aws/stream-changes.ts';
import { ChangeFeed } from '../../platform/embedded/change-feed.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import type { Change, ChangeConsumer, Table } from '../../platform/ports/table.ts';
import { type CrowdOrder, workInCrowd, workInThread } from './table-crowd.ts';
import { silentLog } from './workflow-world.ts';

export interface TestTable {
  readonly table: Table;
  /** All changes so far, in the order in which the platform's feed tells them. */
  changes(): Promise<readonly Change[]>;
  /** Deletes the items whose `ttl` has passed. */
  expire(): Promise<void>;
  /** Has a client of its own do the work, in a thread of its own if it would block the others. */
  work(order: CrowdOrder): Promise<number>;
  /** Deletes the table. */
  close(): Promise<void>;
}

/** A table in a database file. */
export async function createSqliteTestTable(): Promise<TestTable> {
  const folder = mkdtempSync(join(tmpdir(), 'table-'));
  const databaseFile = join(folder, 'test.db');
  const database = openDatabase(databaseFile);
  const table = new SqliteTable({ database, name: 'test', changes: true });
  const { changes, consumer } = collectChanges();
  const feed = new ChangeFeed({ database, table: 'test', consumers: { test: consumer }, log: silentLog });
  return {
    table,
    changes: async () => {
      await feed.drain();
      return changes;
    },
    expire: async () => void (await table.purgeExpired(new Date())),
    work: (order) => workInThread(databaseFile, order),
    close: async () => {
      database.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A new table, as the stacks make them, in the LocalStack at `endpoint`. */
export async function createDynamoTestTable(endpoint: string): Promise<TestTable> {
  const client = createDynamoClient(endpoint);
  const TableName = `table-test-${randomUUID()}`;
  const created = await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: ['pk', 'sk', 'g1pk', 'g1sk', 'g2pk', 'g2sk'].map((AttributeName) => ({
        AttributeName,
        AttributeType: 'S',
      })),
      KeySchema: keySchema('pk', 'sk'),
      GlobalSecondaryIndexes: ['g1', 'g2'].map((index) => ({
        IndexName: `${index}-index`,
        KeySchema: keySchema(`${index}pk`, `${index}sk`),
        Projection: { ProjectionType: 'ALL' },
      })),
      StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
    }),
  );
  await waitUntilTableExists({ client, minDelay: 1, maxWaitTime: 30 }, { TableName });
  const TimeToLiveSpecification = { AttributeName: 'ttl', Enabled: true };
  await client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }));

  const table = new DynamoTable({ client, tableName: TableName });
  const stream = openStream(endpoint, created.TableDescription?.LatestStreamArn ?? '');
  const { changes, consumer } = collectChanges();
  const handle = streamHandler(consumer);
  return {
    table,
    changes: async () => {
      // All changes before it are told before it.
      const marker = { pk: 'marker', sk: randomUUID() };
      await table.write({ op: 'put', item: marker });
      while (changes.at(-1)?.key.sk !== marker.sk) {
        await handle({ Records: await stream.nextRecords() });
        await pause(20);
      }
      return changes.filter(({ key }) => key.pk !== marker.pk);
    },
    expire: async () => void (await fetch(`${endpoint}/_aws/dynamodb/expired`, { method: 'DELETE' })),
    work: (order) => workInCrowd(table, order),
    close: async () => {
      await client.send(new DeleteTableCommand({ TableName }));
      client.destroy();
    },
  };
}

export function createDynamoClient(endpoint: string, config: DynamoDBClientConfig = {}): DynamoDBClient {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  return new DynamoDBClient({ endpoint, region: 'us-east-1', credentials, ...config });
}

function keySchema(partitionKey: string, sortKey: string) {
  return [
    { AttributeName: partitionKey, KeyType: 'HASH' as const },
    { AttributeName: sortKey, KeyType: 'RANGE' as const },
  ];
}

function collectChanges(): { changes: Change[]; consumer: ChangeConsumer } {
  const changes: Change[] = [];
  const consumer: ChangeConsumer = async (batch) => {
    changes.push(...batch);
    return undefined;
  };
  return { changes, consumer };
}

/** A stream of one shard from its beginning, as its event source mapping reads it. */
function openStream(endpoint: string, StreamArn: string) {
  const call = async (action: string, body: object) => {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: {
        'X-Amz-Target': `DynamoDBStreams_20120810.${action}`,
        'Content-Type': 'application/x-amz-json-1.0',
        Authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, Signature=none',
      },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${action}: ${await response.text()}`);
    return response.json();
  };
  let iterator: string | undefined;
  return {
    async nextRecords(): Promise<unknown[]> {
      if (iterator === undefined) {
        const { StreamDescription } = await call('DescribeStream', { StreamArn });
        const [{ ShardId }] = StreamDescription.Shards;
        const from = { StreamArn, ShardId, ShardIteratorType: 'TRIM_HORIZON' };
        iterator = (await call('GetShardIterator', from)).ShardIterator;
      }
      const { Records, NextShardIterator } = await call('GetRecords', { ShardIterator: iterator });
      iterator = NextShardIterator;
      return Records;
    },
  };
}
