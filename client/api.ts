import type * as z from 'zod/mini';
import type { ErrorCode } from '../contract/errors.ts';
import type { Operation, OperationOutput, Routes } from '../contract/routes.ts';
import { abortedError, answerError, MillraceError, networkError } from './errors.ts';
import type { Gate } from './pause.ts';
import { mayRetry, Retries } from './retry.ts';

/** Method and path of each operation that the client calls; a test compares them with the contract's route table. */
export const ROUTES = {
  initUpload: ['POST', '/uploads/init'],
  signParts: ['POST', '/uploads/{upload_id}/parts'],
  getUpload: ['GET', '/uploads/{upload_id}'],
  completeUpload: ['POST', '/uploads/{upload_id}/complete'],
  listUploadEvents: ['GET', '/uploads/{upload_id}/events'],
  abortUpload: ['DELETE', '/uploads/{upload_id}'],
  listUploads: ['GET', '/uploads'],
  listFiles: ['GET', '/files'],
  getFile: ['GET', '/files/{file_id}'],
  downloadFile: ['GET', '/files/{file_id}/download'],
  deleteFile: ['DELETE', '/files/{file_id}'],
  restoreFile: ['POST', '/files/{file_id}/restore'],
  getUsage: ['GET', '/usage'],
  createJob: ['POST', '/jobs'],
  listJobs: ['GET', '/jobs'],
  getJob: ['GET', '/jobs/{job_id}'],
  cancelJob: ['DELETE', '/jobs/{job_id}'],
  retryJob: ['POST', '/jobs/{job_id}/retry'],
  listTasks: ['GET', '/jobs/{job_id}/tasks'],
  listJobEvents: ['GET', '/jobs/{job_id}/events'],
  listCheckpoints: ['GET', '/jobs/{job_id}/checkpoints'],
  listArtifacts: ['GET', '/jobs/{job_id}/artifacts'],
  createBatch: ['POST', '/batches'],
  listBatches: ['GET', '/batches'],
  getBatch: ['GET', '/batches/{batch_id}'],
  listBatchItems: ['GET', '/batches/{batch_id}/items'],
  cancelBatch: ['DELETE', '/batches/{batch_id}'],
  retryBatch: ['POST', '/batches/{batch_id}/retry'],
  getStats: ['GET', '/stats'],
  listWorkflows: ['GET', '/workflows'],
  createProduct: ['POST', '/products'],
  listProducts: ['GET', '/products'],
  getProduct: ['GET', '/products/{product_id}'],
  deleteProduct: ['DELETE', '/products/{product_id}'],
  createMarketplaceAccount: ['POST', '/marketplace-accounts'],
  listMarketplaceAccounts: ['GET', '/marketplace-accounts'],
  getMarketplaceAccount: ['GET', '/marketplace-accounts/{account_id}'],
  renewMarketplaceCredentials: ['PUT', '/marketplace-accounts/{account_id}/credentials'],
  deleteMarketplaceAccount: ['DELETE', '/marketplace-accounts/{account_id}'],
  receiveCommands: ['POST', '/bridge/commands/receive'],
  heartbeatCommand: ['POST', '/bridge/commands/{command_id}/heartbeat'],
  answerCommand: ['POST', '/bridge/commands/{command_id}/answer'],
  getLive: ['GET', '/live'],
  createWebhook: ['POST', '/webhooks'],
  listWebhooks: ['GET', '/webhooks'],
  getWebhook: ['GET', '/webhooks/{webhook_id}'],
  updateWebhook: ['PUT', '/webhooks/{webhook_id}'],
  deleteWebhook: ['DELETE', '/webhooks/{webhook_id}'],
  rotateWebhookSecret: ['POST', '/webhooks/{webhook_id}/rotate-secret'],
  listWebhookDeliveries: ['GET', '/webhooks/{webhook_id}/deliveries'],
  redeliverWebhook: ['POST', '/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver'],
  createKey: ['POST', '/keys'],
  listKeys: ['GET', '/keys'],
  revokeKey: ['DELETE', '/keys/{key_id}'],
} as const satisfies Partial<Record<Operation, readonly [string, string]>>;

type ClientOperation = keyof typeof ROUTES;

/** A field of a request: left out where the route takes none, optional where all of it is. */
type Field<Name extends string, T extends z.ZodMiniType> =
  Record<never, never> extends z.input<T> ? { [P in Name]?: z.input<T> } : { [P in Name]: z.input<T> };

type CallInput<O extends Operation> = Field<'params', Routes[O]['params']> &
  Field<'query', Routes[O]['query']> &
  Field<'body', Routes[O]['body']>;

/** The query parameters of a listing, as callers give them. */
export type QueryOf<O extends Operation> = z.input<Routes[O]['query']>;
/** The request body of an operation, as callers give it: fields with a default may be left out. */
export type BodyOf<O extends Operation> = z.input<Routes[O]['body']>;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How long retryable failures are retried; 0 for a request that must not be repeated. Default 15. */
  readonly retrySeconds?: number;
  /** The code with which a repeat is refused once the request has worked, though its answer was lost. */
  readonly doneCode?: ErrorCode;
  readonly idempotencyKey?: string;
  /** Told of every failure that is tried again. */
  readonly onRetry?: (error: MillraceError) => void;
  /** No attempt begins while it is closed. */
  readonly gate?: Gate;
}

export interface ApiOptions {
  /** The API's base URL, stage included. */
  readonly url: string;
  /** The credential, or where to get one before each request. */
  readonly token: string | (() => Promise<string>);
  /** For calls that have no signal of their own. */
  readonly signal?: AbortSignal | undefined;
}

/** A request is given up after this long; API Gateway ends one after 29 s. */
const REQUEST_TIMEOUT_MS = 60_000;
const DEFAULT_RETRY_SECONDS = 15;

/** Calls the API's operations: JSON, typed errors, and retries. */
export class Api {
  readonly url: string;
  readonly #token: ApiOptions['token'];
  /** For calls, and uploads, that have none of their own. */
  readonly signal: AbortSignal | undefined;

  constructor({ url, token, signal }: ApiOptions) {
    this.url = url.replace(/\/+$/, '');
    this.#token = token;
    this.signal = signal;
  }

  /** The success body; undefined when there is none, or when `doneCode` shows that a lost attempt had worked. */
  async call<O extends ClientOperation>(
    operation: O,
    input: CallInput<O>,
    options: CallOptions = {},
  ): Promise<OperationOutput<O>> {
    const { retrySeconds = DEFAULT_RETRY_SECONDS, signal = this.signal, gate } = options;
    const retries = new Retries({ seconds: retrySeconds, attempts: retrySeconds > 0 ? 3 : 1, gate });
    await gate?.pass(signal);
    let answerLost = false;
    for (;;) {
      try {
        return (await this.#send(operation, input, { ...options, signal })) as OperationOutput<O>;
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error;
        if (answerLost && error.code === options.doneCode) return undefined as OperationOutput<O>;
        if (!mayRetry(error) || retrySeconds === 0) throw error;
        answerLost ||= error.status === undefined || error.status >= 500;
        await retries.pause(error, signal, options.onRetry);
      }
    }
  }

  async #send(
    operation: ClientOperation,
    input: { params?: object; query?: object; body?: object },
    { signal, idempotencyKey }: Omit<CallOptions, 'signal'> & { signal: AbortSignal | undefined },
  ): Promise<unknown> {
    const [method, template] = ROUTES[operation];
    const url = new URL(this.url + fillPath(template, input.params ?? {}));
    for (const [name, value] of Object.entries(input.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers: Record<string, string> = { authorization: `Bearer ${await this.credential()}` };
    if (input.body) headers['content-type'] = 'application/json';
    if (idempotencyKey) headers['idempotency-key'] = idempotencyKey;
    const { response, text } = await exchange(url, {
      method,
      headers,
      ...(input.body && { body: JSON.stringify(input.body) }),
      ...(signal && { signal }),
    });
    if (!response.ok) throw answerError(response, text);
    if (text === '') return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      const message = `${url.origin} answered ${response.status} without JSON: check the URL`;
      throw new MillraceError('UnexpectedAnswerError', message, { status: response.status, cause });
    }
  }

  async credential(): Promise<string> {
    return typeof this.#token === 'string' ? this.#token : this.#token();
  }
}

async function exchange(url: URL, init: RequestInit): Promise<{ response: Response; text: string }> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  try {
    const response = await fetch(url, { ...init, signal });
    return { response, text: await response.text() };
  } catch (cause) {
    if (init.signal?.aborted) throw abortedError(init.signal);
    throw networkError(`cannot reach ${url.origin}`, cause);
  }
}

function fillPath(template: string, params: object): string {
  const values = params as Record<string, string>;
  return template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''));
}
