import type { TenantId } from '../contract/common.ts';
import { SCOPES } from '../contract/keys.ts';
import { DELETED_FILE_DAYS } from '../contract/limits.ts';
import { uploads } from '../contract/routes/uploads.ts';
import { Quotas } from '../contract/uploads.ts';
import { createHttpApi } from '../lambdas/runtime/http.ts';
import { createLog } from '../lambdas/runtime/log.ts';
import { createUploadsHandlers } from '../lambdas/uploads/handlers.ts';
import { createS3Client, S3ObjectStore } from '../platform/aws/s3-object-store.ts';
import { S3Presigner } from '../platform/aws/s3-presign.ts';
import { openDatabase } from '../platform/embedded/open-database.ts';
import { SqliteTable } from '../platform/embedded/sqlite-table.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { createRequestListener, listen } from '../server/http.ts';

// The uploads API on a bucket of any S3: as on AWS, but for its table, which is in memory, and its callers, who are all one.
// Arguments: endpoint, bucket. Tells its URL to the process that forked it.

const [, , endpoint = '', bucket = ''] = process.argv;
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
const client = createS3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
const presigner = new S3Presigner({
  client,
  bucket,
  credentials: async () => credentials,
  clock,
  publicEndpoint: endpoint,
});
const log = createLog({}, () => {});
const api = createHttpApi({
  routes: uploads.routes,
  handlers: createUploadsHandlers({
    table: new SqliteTable({ database: openDatabase(':memory:'), name: 'uploads', changes: true }),
    objects: new S3ObjectStore({ client, bucket, presigner }),
    clock,
    log,
    quotas: Quotas.parse({}),
    deletedFileDays: DELETED_FILE_DAYS,
  }),
  authenticate: async () => ({
    tenantId: 'bench' as TenantId,
    principalId: 'bench',
    role: 'owner',
    scopes: SCOPES,
    root: false,
  }),
  log,
});
const objects = async () => {
  throw new Error('objects are on S3');
};
const { url, serve } = await listen({ port: 0, host: '127.0.0.1' });
serve({ listener: createRequestListener({ api, objects, log }) });
process.send?.(url);
process.once('disconnect', () => process.exit());
