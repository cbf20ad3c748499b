import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { CreateBucketCommand, DeleteBucketCommand } from '@aws-sdk/client-s3';
import { createS3Client, S3ObjectStore } from '../../platform/aws/s3-object-store.ts';
import { type CredentialsProvider, S3Presigner } from '../../platform/aws/s3-presign.ts';
import { FileObjectStore } from '../../platform/embedded/file-object-store.ts';
import { objectsHttpHandler } from '../../platform/embedded/objects-http.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import type { Clock } from '../../platform/ports/clock.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import { systemClock } from '../../platform/system-clock.ts';

export interface TestObjectStore<Store extends ObjectStore = ObjectStore> {
  readonly store: Store;
  /** Deletes all that it held. */
  close(): Promise<void>;
}

/** An object store in a new folder, with a server for the URLs that it signs; `errors`: what its handler rejected with. */
export async function createTestObjectStore(options: { clock?: Clock; folder?: string } = {}): Promise<
  TestObjectStore<FileObjectStore> & {
    readonly folder: string;
    readonly baseUrl: string;
    readonly errors: unknown[];
    readonly database: DatabaseSync;
  }
> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'millrace-objects-'));
  const database = openDatabase(join(folder, 'objects.db'));
  const errors: unknown[] = [];
  const server = createServer((request, response) => {
    handler(request, response).catch((error: unknown) => errors.push(error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const store = new FileObjectStore({
    folder: join(folder, 'objects'),
    database,
    baseUrl,
    signingKey: randomBytes(32),
    clock: options.clock ?? systemClock,
  });
  const handler = objectsHttpHandler(store);
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    database.close();
    rmSync(folder, { recursive: true });
  };
  return { store, folder, baseUrl, errors, database, close };
}

const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

/** An object store in a new bucket of the S3 at `endpoint`. */
export async function createS3TestObjectStore(
  endpoint: string,
  signingCredentials: CredentialsProvider = async () => credentials,
): Promise<TestObjectStore> {
  const client = createS3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  const bucket = `object-store-test-${randomBytes(6).toString('hex')}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const presigner = new S3Presigner({
    client,
    bucket,
    credentials: signingCredentials,
    clock: systemClock,
    publicEndpoint: endpoint,
  });
  const store = new S3ObjectStore({ client, bucket, presigner });
  const close = async () => {
    for (const { key } of (await store.list({ prefix: '' })).items) await store.delete(key);
    for (const upload of (await store.listMultiparts({ prefix: '' })).items) await store.abortMultipart(upload);
    await client.send(new DeleteBucketCommand({ Bucket: bucket }));
    client.destroy();
  };
  return { store, close };
}
