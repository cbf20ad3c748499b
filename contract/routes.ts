import * as z from 'zod/mini';
import { Batch, BatchItem, CreateBatch, MarketplaceStats } from './batches.ts';
import {
  BatchId,
  Crc64Nvme,
  EventsQuery,
  FileId,
  IdempotencyKey,
  JobId,
  KeyId,
  PageQuery,
  pageOf,
  UploadId,
  WebhookId,
} from './common.ts';
import type { ErrorCode } from './errors.ts';
import { Artifact, Checkpoint, CreateJob, Job, JobEvent, JobState, Task, Workflow } from './jobs.ts';
import { ApiKey, CreatedKey, CreateKey, type Scope } from './keys.ts';
import { MAX_EVENT_WAIT_SECONDS } from './limits.ts';
import { Live } from './live.ts';
import {
  AccountId,
  BridgeAnswer,
  BridgeCommand,
  CommandId,
  CreateAccount,
  CreateProduct,
  MarketplaceAccount,
  Product,
  ProductId,
  RenewCredentials,
} from './publishing.ts';
import {
  CompleteUpload,
  Download,
  File,
  InitUpload,
  ListedUpload,
  Orphaned,
  SignedPart,
  SignParts,
  Upload,
  UploadEvent,
  UploadState,
  UploadWithParts,
  Usage,
} from './uploads.ts';

import { CreatedWebhook, RotatedSecret, RotateSecret, Webhook, WebhookDelivery, WriteWebhook } from './webhooks.ts';

type Shape = z.ZodMiniObject;
type BodyShape = Shape | z.ZodMiniDiscriminatedUnion;
const nothing = z.object({});

/** Which API Lambda answers a route. */
export type Context = 'uploads' | 'jobs' | 'publishing' | 'live' | 'identity';

interface RouteSpec {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** API Gateway's form, `{name}` for a path parameter. */
  path: `/${string}`;
  context: Context;
  summary: string;
  /** `none`: no credential needed; `root`: the root secret or a credential with `keys:write`. */
  auth: Scope | 'none' | 'root';
  params?: Shape;
  query?: Shape;
  /** Names in lower case. */
  headers?: Shape;
  body?: BodyShape;
  /** Status and body of each success; a schema of null for none. */
  responses: Readonly<Record<number, z.ZodMiniType | null>>;
  errors: readonly ErrorCode[];
}

function route<
  Params extends Shape = typeof nothing,
  Query extends Shape = typeof nothing,
  Headers extends Shape = typeof nothing,
  Body extends BodyShape = typeof nothing,
  const Responses extends Readonly<Record<number, z.ZodMiniType | null>> = Readonly<
    Record<number, z.ZodMiniType | null>
  >,
  const C extends Context = Context,
>(
  spec: Omit<RouteSpec, 'context' | 'params' | 'query' | 'headers' | 'body' | 'responses'> & {
    context: C;
    params?: Params;
    query?: Query;
    headers?: Headers;
    body?: Body;
    responses: Responses;
  },
) {
  return {
    ...spec,
    params: spec.params ?? (nothing as unknown as Params),
    query: spec.query ?? (nothing as unknown as Query),
    headers: spec.headers ?? (nothing as unknown as Headers),
    /** Undefined for a route that takes no body. */
    body: spec.body as Body,
    hasBody: spec.body !== undefined,
  };
}

const uploadParams = z.object({ upload_id: UploadId });
const fileParams = z.object({ file_id: FileId });
const jobParams = z.object({ job_id: JobId });
const batchParams = z.object({ batch_id: BatchId });
const productParams = z.object({ product_id: ProductId });
const accountParams = z.object({ account_id: AccountId });
const commandParams = z.object({ command_id: CommandId });
const webhookParams = z.object({ webhook_id: WebhookId });
const idempotent = z.object({ 'idempotency-key': z.optional(IdempotencyKey) });
const ListUploadsQuery = z
  .extend(PageQuery, {
    state: z.optional(UploadState),
    /** Seconds. */
    idle: z.optional(z.coerce.number().check(z.int(), z.minimum(1))),
  })
  .check(
    z.refine(({ state, idle }) => idle === undefined || state === 'open', {
      path: ['idle'],
      error: 'it is taken with state=open only',
    }),
  );
const ListFilesQuery = z.extend(PageQuery, { deleted: z.optional(z.literal('true')) });
const ListJobsQuery = z.extend(PageQuery, {
  state: z.optional(JobState),
  workflow: z.optional(z.string().check(z.maxLength(64))),
});
const BridgeCommandsQuery = z.object({
  /** The cursor of the last command seen; all that wait when left out, as after a start. */
  after: z.optional(z.string().check(z.regex(/^[0-9A-Z]{26}$/))),
  /** Seconds to wait for a command if there is none yet. */
  wait: z._default(z.coerce.number().check(z.int(), z.minimum(0), z.maximum(MAX_EVENT_WAIT_SECONDS)), 0),
  limit: z._default(z.coerce.number().check(z.int(), z.minimum(1), z.maximum(100)), 10),
});

/** The API. From this table come validation, API Gateway's resources, docs/openapi.json and the client's types. */
export const routes = {
  initUpload: route({
    method: 'POST',
    path: '/uploads/init',
    context: 'uploads',
    summary: 'Open an upload session and sign its first parts',
    auth: 'uploads:write',
    headers: idempotent,
    body: InitUpload,
    responses: {
      201: z.object({ upload: UploadWithParts, parts: z.array(SignedPart) }),
      200: z.object({ upload: UploadWithParts, parts: z.array(SignedPart) }),
    },
    errors: [
      'EmptyFileError',
      'FileTooLargeError',
      'InvalidPartIndexError',
      'QuotaExceededError',
      'IdempotencyConflictError',
    ],
  }),
  signParts: route({
    method: 'POST',
    path: '/uploads/{upload_id}/parts',
    context: 'uploads',
    summary: 'Sign the URLs of up to 1,000 parts',
    auth: 'uploads:write',
    params: uploadParams,
    body: SignParts,
    responses: { 200: z.object({ parts: z.array(SignedPart) }) },
    errors: ['UploadNotFoundError', 'UploadNotOpenError', 'InvalidPartIndexError'],
  }),
  redirectPart: route({
    method: 'PUT',
    path: '/uploads/{upload_id}/part/{part_number}',
    context: 'uploads',
    summary: "Redirect to a part's presigned URL: the bytes go there",
    auth: 'uploads:write',
    // The part number is checked by the use case, which knows how many parts there are.
    params: z.extend(uploadParams, { part_number: z.string() }),
    query: z.object({ checksum_crc64nvme: z.optional(Crc64Nvme) }),
    responses: { 307: null },
    errors: ['UploadNotFoundError', 'UploadNotOpenError', 'InvalidPartIndexError', 'BodyNotAcceptedError'],
  }),
  getUpload: route({
    method: 'GET',
    path: '/uploads/{upload_id}',
    context: 'uploads',
    summary: 'The state of a session and what has arrived',
    auth: 'uploads:read',
    params: uploadParams,
    query: z.object({ include: z.optional(z.literal('parts')) }),
    responses: { 200: UploadWithParts },
    errors: ['UploadNotFoundError'],
  }),
  completeUpload: route({
    method: 'POST',
    path: '/uploads/{upload_id}/complete',
    context: 'uploads',
    summary: 'Verify that every part is there and make the file',
    auth: 'uploads:write',
    params: uploadParams,
    body: CompleteUpload,
    responses: { 200: z.object({ upload: Upload, file: File }), 202: z.object({ upload: Upload }) },
    errors: [
      'UploadNotFoundError',
      'UploadNotOpenError',
      'PartsMissingError',
      'PartChecksumMismatchError',
      'ChecksumMismatchError',
      'ContentMismatchError',
      'InvalidPartIndexError',
    ],
  }),
  abortUpload: route({
    method: 'DELETE',
    path: '/uploads/{upload_id}',
    context: 'uploads',
    summary: 'Abort a session and delete its parts',
    auth: 'uploads:write',
    params: uploadParams,
    responses: { 200: Upload },
    errors: ['UploadNotFoundError', 'UploadNotOpenError'],
  }),
  listUploadEvents: route({
    method: 'GET',
    path: '/uploads/{upload_id}/events',
    context: 'uploads',
    summary: "A session's events after a cursor; waits for one if asked",
    auth: 'uploads:read',
    params: uploadParams,
    query: EventsQuery,
    responses: { 200: z.object({ items: z.array(UploadEvent), next_cursor: z.optional(z.string()) }) },
    errors: ['UploadNotFoundError'],
  }),
  listUploads: route({
    method: 'GET',
    path: '/uploads',
    context: 'uploads',
    summary: 'List sessions, newest first; with `idle`, open ones that no part has reached for so many seconds',
    auth: 'uploads:read',
    query: ListUploadsQuery,
    responses: { 200: z.extend(pageOf(ListedUpload), { orphaned: z.optional(Orphaned) }) },
    errors: ['InvalidCursorError'],
  }),
  listFiles: route({
    method: 'GET',
    path: '/files',
    context: 'uploads',
    summary: 'List files, newest first, or those deleted that can be restored',
    auth: 'uploads:read',
    query: ListFilesQuery,
    responses: { 200: pageOf(File) },
    errors: ['InvalidCursorError'],
  }),
  getFile: route({
    method: 'GET',
    path: '/files/{file_id}',
    context: 'uploads',
    summary: 'A file and its receipt',
    auth: 'uploads:read',
    params: fileParams,
    responses: { 200: File },
    errors: ['FileNotFoundError'],
  }),
  downloadFile: route({
    method: 'GET',
    path: '/files/{file_id}/download',
    context: 'uploads',
    summary: "A presigned URL of a file's bytes",
    auth: 'uploads:read',
    params: fileParams,
    responses: { 200: Download },
    errors: ['FileNotFoundError'],
  }),
  deleteFile: route({
    method: 'DELETE',
    path: '/files/{file_id}',
    context: 'uploads',
    summary: 'Delete a file: for some days it can be restored, unless it is deleted for good',
    auth: 'uploads:write',
    params: fileParams,
    query: z.object({ permanent: z.optional(z.literal('true')) }),
    responses: { 204: null },
    errors: ['FileNotFoundError'],
  }),
  restoreFile: route({
    method: 'POST',
    path: '/files/{file_id}/restore',
    context: 'uploads',
    summary: 'Bring back a deleted file',
    auth: 'uploads:write',
    params: fileParams,
    responses: { 200: File },
    errors: ['FileNotFoundError'],
  }),
  getUsage: route({
    method: 'GET',
    path: '/usage',
    context: 'uploads',
    summary: 'What the tenant uses of its quotas',
    auth: 'uploads:read',
    responses: { 200: Usage },
    errors: [],
  }),
  createJob: route({
    method: 'POST',
    path: '/jobs',
    context: 'jobs',
    summary: 'Queue a job',
    auth: 'jobs:write',
    headers: idempotent,
    body: CreateJob,
    responses: { 201: Job, 200: Job },
    errors: ['WorkflowNotFoundError', 'FileNotFoundError', 'IdempotencyConflictError', 'PayloadTooLargeError'],
  }),
  listJobs: route({
    method: 'GET',
    path: '/jobs',
    context: 'jobs',
    summary: 'List jobs, newest first',
    auth: 'jobs:read',
    query: ListJobsQuery,
    responses: { 200: pageOf(Job) },
    errors: ['InvalidCursorError'],
  }),
  getJob: route({
    method: 'GET',
    path: '/jobs/{job_id}',
    context: 'jobs',
    summary: 'A job, its state and progress',
    auth: 'jobs:read',
    params: jobParams,
    responses: { 200: Job },
    errors: ['JobNotFoundError'],
  }),
  cancelJob: route({
    method: 'DELETE',
    path: '/jobs/{job_id}',
    context: 'jobs',
    summary: 'Cancel a job',
    auth: 'jobs:write',
    params: jobParams,
    responses: { 202: Job, 200: Job },
    errors: ['JobNotFoundError', 'JobNotCancellableError'],
  }),
  retryJob: route({
    method: 'POST',
    path: '/jobs/{job_id}/retry',
    context: 'jobs',
    summary: 'Queue a failed or cancelled job again; completed tasks are skipped',
    auth: 'jobs:write',
    params: jobParams,
    responses: { 202: Job },
    errors: ['JobNotFoundError', 'JobNotRetryableError'],
  }),
  listTasks: route({
    method: 'GET',
    path: '/jobs/{job_id}/tasks',
    context: 'jobs',
    summary: "A job's tasks in order",
    auth: 'jobs:read',
    params: jobParams,
    query: PageQuery,
    responses: { 200: pageOf(Task) },
    errors: ['JobNotFoundError', 'InvalidCursorError'],
  }),
  listJobEvents: route({
    method: 'GET',
    path: '/jobs/{job_id}/events',
    context: 'jobs',
    summary: "A job's events after a cursor; waits for one if asked",
    auth: 'jobs:read',
    params: jobParams,
    query: EventsQuery,
    responses: { 200: z.object({ items: z.array(JobEvent), next_cursor: z.optional(z.string()) }) },
    errors: ['JobNotFoundError'],
  }),
  listCheckpoints: route({
    method: 'GET',
    path: '/jobs/{job_id}/checkpoints',
    context: 'jobs',
    summary: 'What a job has kept of itself to go on from, oldest first',
    auth: 'jobs:read',
    params: jobParams,
    query: PageQuery,
    responses: { 200: pageOf(Checkpoint) },
    errors: ['JobNotFoundError', 'InvalidCursorError'],
  }),
  listArtifacts: route({
    method: 'GET',
    path: '/jobs/{job_id}/artifacts',
    context: 'jobs',
    summary: 'The files that a job made, with presigned URLs',
    auth: 'jobs:read',
    params: jobParams,
    query: PageQuery,
    responses: { 200: pageOf(Artifact) },
    errors: ['JobNotFoundError', 'InvalidCursorError'],
  }),
  createBatch: route({
    method: 'POST',
    path: '/batches',
    context: 'jobs',
    summary: 'Queue many jobs at once, given or listed by a file',
    auth: 'jobs:write',
    headers: idempotent,
    body: CreateBatch,
    responses: { 201: Batch, 200: Batch },
    errors: ['FileNotFoundError', 'InputDataError', 'IdempotencyConflictError', 'PayloadTooLargeError'],
  }),
  listBatches: route({
    method: 'GET',
    path: '/batches',
    context: 'jobs',
    summary: 'List batches, newest first',
    auth: 'jobs:read',
    query: PageQuery,
    responses: { 200: pageOf(Batch) },
    errors: ['InvalidCursorError'],
  }),
  getBatch: route({
    method: 'GET',
    path: '/batches/{batch_id}',
    context: 'jobs',
    summary: 'A batch, its state and counters',
    auth: 'jobs:read',
    params: batchParams,
    responses: { 200: Batch },
    errors: ['BatchNotFoundError'],
  }),
  listBatchItems: route({
    method: 'GET',
    path: '/batches/{batch_id}/items',
    context: 'jobs',
    summary: "A batch's jobs in order, with the errors of those that failed or were refused",
    auth: 'jobs:read',
    params: batchParams,
    query: z.extend(PageQuery, { state: z.optional(JobState) }),
    responses: { 200: pageOf(BatchItem) },
    errors: ['BatchNotFoundError', 'InvalidCursorError'],
  }),
  cancelBatch: route({
    method: 'DELETE',
    path: '/batches/{batch_id}',
    context: 'jobs',
    summary: 'Cancel every job of a batch that has not ended',
    auth: 'jobs:write',
    params: batchParams,
    responses: { 202: Batch },
    errors: ['BatchNotFoundError'],
  }),
  retryBatch: route({
    method: 'POST',
    path: '/batches/{batch_id}/retry',
    context: 'jobs',
    summary: 'Queue the failed jobs of a batch again; completed tasks are skipped',
    auth: 'jobs:write',
    params: batchParams,
    responses: { 202: Batch },
    errors: ['BatchNotFoundError', 'BatchBusyError'],
  }),
  getStats: route({
    method: 'GET',
    path: '/stats',
    context: 'jobs',
    summary: "The tenant's jobs by marketplace and state",
    auth: 'jobs:read',
    query: z.object({ marketplace: z.optional(z.string().check(z.maxLength(64))) }),
    responses: { 200: z.object({ items: z.array(MarketplaceStats) }) },
    errors: [],
  }),
  listWorkflows: route({
    method: 'GET',
    path: '/workflows',
    context: 'jobs',
    summary: 'The workflows and the input that each takes',
    auth: 'jobs:read',
    responses: { 200: z.object({ items: z.array(Workflow) }) },
    errors: [],
  }),
  createProduct: route({
    method: 'POST',
    path: '/products',
    context: 'publishing',
    summary: 'Note a product that is to be published',
    auth: 'products:write',
    headers: idempotent,
    body: CreateProduct,
    responses: { 201: Product, 200: Product },
    errors: ['FileNotFoundError', 'IdempotencyConflictError'],
  }),
  listProducts: route({
    method: 'GET',
    path: '/products',
    context: 'publishing',
    summary: 'List products, newest first',
    auth: 'products:read',
    query: PageQuery,
    responses: { 200: pageOf(Product) },
    errors: ['InvalidCursorError'],
  }),
  getProduct: route({
    method: 'GET',
    path: '/products/{product_id}',
    context: 'publishing',
    summary: 'A product',
    auth: 'products:read',
    params: productParams,
    responses: { 200: Product },
    errors: ['ProductNotFoundError'],
  }),
  deleteProduct: route({
    method: 'DELETE',
    path: '/products/{product_id}',
    context: 'publishing',
    summary: 'Forget a product; its listings and its files stay',
    auth: 'products:write',
    params: productParams,
    responses: { 204: null },
    errors: ['ProductNotFoundError'],
  }),
  createAccount: route({
    method: 'POST',
    path: '/marketplace-accounts',
    context: 'publishing',
    summary: 'Connect an account of a marketplace; its credentials are never told again',
    auth: 'products:write',
    body: CreateAccount,
    responses: { 201: MarketplaceAccount },
    errors: [],
  }),
  listAccounts: route({
    method: 'GET',
    path: '/marketplace-accounts',
    context: 'publishing',
    summary: 'List marketplace accounts, newest first',
    auth: 'products:read',
    query: PageQuery,
    responses: { 200: pageOf(MarketplaceAccount) },
    errors: ['InvalidCursorError'],
  }),
  getAccount: route({
    method: 'GET',
    path: '/marketplace-accounts/{account_id}',
    context: 'publishing',
    summary: 'A marketplace account, without its credentials',
    auth: 'products:read',
    params: accountParams,
    responses: { 200: MarketplaceAccount },
    errors: ['AccountNotFoundError'],
  }),
  renewCredentials: route({
    method: 'PUT',
    path: '/marketplace-accounts/{account_id}/credentials',
    context: 'publishing',
    summary: "Replace an account's credentials, as when the marketplace refuses them",
    auth: 'products:write',
    params: accountParams,
    body: RenewCredentials,
    responses: { 204: null },
    errors: ['AccountNotFoundError'],
  }),
  deleteAccount: route({
    method: 'DELETE',
    path: '/marketplace-accounts/{account_id}',
    context: 'publishing',
    summary: 'Disconnect an account and forget its credentials',
    auth: 'products:write',
    params: accountParams,
    responses: { 204: null },
    errors: ['AccountNotFoundError'],
  }),
  listCommands: route({
    method: 'GET',
    path: '/bridge/commands',
    context: 'publishing',
    summary: 'What a bridge is to do next; waits for it if asked',
    auth: 'bridge:write',
    query: BridgeCommandsQuery,
    responses: { 200: z.object({ items: z.array(BridgeCommand), next_cursor: z.optional(z.string()) }) },
    errors: [],
  }),
  heartbeatCommand: route({
    method: 'POST',
    path: '/bridge/commands/{command_id}/heartbeat',
    context: 'publishing',
    summary: 'Tell that a command is being worked on; every 20 s, else it is sent again after 60 s',
    auth: 'bridge:write',
    params: commandParams,
    /** `wanted`: false when nobody waits for it any more: its job was cancelled, or it is sent again. */
    responses: { 200: z.object({ wanted: z.boolean() }) },
    errors: ['CommandNotFoundError'],
  }),
  answerCommand: route({
    method: 'POST',
    path: '/bridge/commands/{command_id}/answer',
    context: 'publishing',
    summary: 'Tell how a command ended; safe to repeat',
    auth: 'bridge:write',
    params: commandParams,
    body: BridgeAnswer,
    responses: { 204: null },
    errors: ['CommandNotFoundError'],
  }),
  getLive: route({
    method: 'GET',
    path: '/live',
    context: 'live',
    summary: 'Where events are pushed over WebSocket, if this deployment does that',
    auth: 'none',
    responses: { 200: Live },
    errors: [],
  }),
  createWebhook: route({
    method: 'POST',
    path: '/webhooks',
    context: 'live',
    summary: 'Have an address told what happens, in messages signed as Standard Webhooks',
    auth: 'webhooks:write',
    body: WriteWebhook,
    responses: { 201: CreatedWebhook },
    errors: ['QuotaExceededError'],
  }),
  listWebhooks: route({
    method: 'GET',
    path: '/webhooks',
    context: 'live',
    summary: 'List webhooks, newest first',
    auth: 'webhooks:write',
    query: PageQuery,
    responses: { 200: pageOf(Webhook) },
    errors: ['InvalidCursorError'],
  }),
  getWebhook: route({
    method: 'GET',
    path: '/webhooks/{webhook_id}',
    context: 'live',
    summary: 'A webhook',
    auth: 'webhooks:write',
    params: webhookParams,
    responses: { 200: Webhook },
    errors: ['WebhookNotFoundError'],
  }),
  updateWebhook: route({
    method: 'PUT',
    path: '/webhooks/{webhook_id}',
    context: 'live',
    summary: 'Replace what a webhook is; its secret stays',
    auth: 'webhooks:write',
    params: webhookParams,
    body: WriteWebhook,
    responses: { 200: Webhook },
    errors: ['WebhookNotFoundError'],
  }),
  deleteWebhook: route({
    method: 'DELETE',
    path: '/webhooks/{webhook_id}',
    context: 'live',
    summary: 'Delete a webhook; what waits for it is not sent',
    auth: 'webhooks:write',
    params: webhookParams,
    responses: { 204: null },
    errors: ['WebhookNotFoundError'],
  }),
  rotateWebhookSecret: route({
    method: 'POST',
    path: '/webhooks/{webhook_id}/rotate-secret',
    context: 'live',
    summary: 'Give a webhook a new secret; for some hours messages carry the signatures of both',
    auth: 'webhooks:write',
    params: webhookParams,
    body: RotateSecret,
    responses: { 200: RotatedSecret },
    errors: ['WebhookNotFoundError'],
  }),
  listWebhookDeliveries: route({
    method: 'GET',
    path: '/webhooks/{webhook_id}/deliveries',
    context: 'live',
    summary: 'Messages to a webhook and their attempts, newest first',
    auth: 'webhooks:write',
    params: webhookParams,
    query: PageQuery,
    responses: { 200: pageOf(WebhookDelivery) },
    errors: ['WebhookNotFoundError', 'InvalidCursorError'],
  }),
  redeliverWebhook: route({
    method: 'POST',
    path: '/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver',
    context: 'live',
    summary: 'Send a message again, whatever became of it',
    auth: 'webhooks:write',
    params: z.extend(webhookParams, { delivery_id: z.string().check(z.regex(/^[\w-]{1,128}$/)) }),
    responses: { 202: WebhookDelivery },
    errors: ['DeliveryNotFoundError', 'WebhookNotFoundError'],
  }),
  createKey: route({
    method: 'POST',
    path: '/keys',
    context: 'identity',
    summary: 'Create an API key',
    auth: 'root',
    body: CreateKey,
    responses: { 201: CreatedKey },
    errors: [],
  }),
  listKeys: route({
    method: 'GET',
    path: '/keys',
    context: 'identity',
    summary: 'List API keys of the tenant',
    auth: 'root',
    query: z.extend(PageQuery, { tenant_id: z.optional(z.string().check(z.maxLength(64))) }),
    responses: { 200: pageOf(ApiKey) },
    errors: ['InvalidCursorError'],
  }),
  revokeKey: route({
    method: 'DELETE',
    path: '/keys/{key_id}',
    context: 'identity',
    summary: 'Revoke an API key; it stops working within 60 seconds',
    auth: 'root',
    params: z.object({ key_id: KeyId }),
    query: z.object({ tenant_id: z.optional(z.string().check(z.maxLength(64))) }),
    responses: { 204: null },
    errors: ['KeyNotFoundError'],
  }),
  getHealth: route({
    method: 'GET',
    path: '/health',
    context: 'identity',
    summary: 'Whether the service answers',
    auth: 'none',
    responses: { 200: z.object({ status: z.literal('ok'), version: z.string() }) },
    errors: [],
  }),
} as const;

export type Routes = typeof routes;
/** The operation id: `initUpload`, `getJob`, … */
export type Operation = keyof Routes;

/** What a use case of an operation gets, parsed. */
export interface OperationInput<O extends Operation> {
  params: z.output<Routes[O]['params']>;
  query: z.output<Routes[O]['query']>;
  headers: z.output<Routes[O]['headers']>;
  body: z.output<Routes[O]['body']>;
}

type ResponseBody<T> = T extends z.ZodMiniType ? z.output<T> : undefined;

/** Any success body of an operation. */
export type OperationOutput<O extends Operation> = ResponseBody<Routes[O]['responses'][keyof Routes[O]['responses']]>;

/** Operations of one context. */
export type OperationsOf<C extends Context> = {
  [O in Operation]: Routes[O]['context'] extends C ? O : never;
}[Operation];
