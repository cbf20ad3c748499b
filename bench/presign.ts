import { MIB } from '../contract/limits.ts';
import { createS3Client, S3ObjectStore } from '../platform/aws/s3-object-store.ts';
import { S3Presigner } from '../platform/aws/s3-presign.ts';
import { FileObjectStore } from '../platform/embedded/file-object-store.ts';
import { openDatabase } from '../platform/embedded/open-database.ts';
import type { ObjectStore } from '../platform/ports/object-store.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { atMost, type Figure } from './figures.ts';

const URLS = 1_000;
const ROUNDS = 7;
const MOST_MS = 150;

/** How long signing the URLs of 1,000 parts with their checksums takes, without the call around it. */
export async function benchPresign(): Promise<Figure[]> {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test', sessionToken: 'x'.repeat(600) };
  const client = createS3Client({ region: 'us-east-1', credentials });
  const presigner = new S3Presigner({ client, bucket: 'bucket', credentials: async () => credentials, clock });
  const s3 = new S3ObjectStore({ client, bucket: 'bucket', presigner });
  const files = new FileObjectStore({
    folder: 'unused',
    database: openDatabase(':memory:'),
    baseUrl: 'http://127.0.0.1:1',
    signingKey: new Uint8Array(32),
    clock,
  });
  return [
    atMost(MOST_MS, `sign ${URLS} URLs: S3`, await times(s3), 'ms'),
    atMost(MOST_MS, `sign ${URLS} URLs: single machine`, await times(files), 'ms'),
  ];
}

/** The first round is not counted. */
async function times(store: Pick<ObjectStore, 'signParts'>): Promise<number[]> {
  const parts = Array.from({ length: URLS }, (_, index) => ({
    partNumber: index + 1,
    sizeBytes: 64 * MIB,
    checksumCrc64Nvme: 'AAAAAAAAAAA=',
  }));
  const round = async () => {
    const started = performance.now();
    const signed = await store.signParts({ key: 'tenant/key', multipartId: 'upload', expiresInSeconds: 900, parts });
    if (signed.length !== URLS) throw new Error(`${signed.length} URLs`);
    return performance.now() - started;
  };
  const all: number[] = [];
  for (let count = 0; count <= ROUNDS; count += 1) all.push(await round());
  return all.slice(1);
}
