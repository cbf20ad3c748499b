import type { Api, CallOptions } from '../api.ts';
import { sleep } from '../retry.ts';
import type { Batch, BatchItem, CreateBatch, LabelStats, ListBatches, ListBatchItems, Page } from '../types.ts';

const UNDER_WAY: readonly Batch['state'][] = ['creating', 'running', 'cancelling'];
const FIRST_POLL_MS = 250;
const LONGEST_POLL_MS = 2_000;
/** A connection that is gone for longer than this ends a wait. */
const WAIT_RETRY_SECONDS = 300;

export interface CreateBatchOptions {
  /** The same key again, within 7 days, answers with the same batch; a random one when left out. */
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

export interface WaitForBatchOptions {
  readonly onProgress?: (batch: Batch) => void;
  /** Ends the wait with `AbortedError`; the batch goes on. */
  readonly signal?: AbortSignal;
  readonly onRetry?: CallOptions['onRetry'];
}

/** Batches: many jobs with common counters. */
export class Batches {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * Queues many jobs: given as `jobs`, or listed by an uploaded NDJSON file as `file_id`.
   *
   * @example
   * const batch = await millrace.batches.create({ jobs: files.map(({ id }) => ({ workflow: 'inference', input: { file_id: id } })) });
   */
  create(body: CreateBatch, { idempotencyKey = crypto.randomUUID(), signal }: CreateBatchOptions = {}): Promise<Batch> {
    return this.#api.call('createBatch', { body }, { idempotencyKey, ...(signal && { signal }) });
  }

  /** `BatchNotFoundError`. */
  get(batchId: string, options: CallOptions = {}): Promise<Batch> {
    return this.#api.call('getBatch', { params: { batch_id: batchId } }, options);
  }

  list(query: ListBatches = {}): Promise<Page<Batch>> {
    return this.#api.call('listBatches', { query });
  }

  /**
   * A batch's jobs in order; with `state: 'failed'`, also the items that were refused. A page of one state may be empty and
   * yet have a `next_cursor`: `paginate` goes on.
   */
  items(batchId: string, query: ListBatchItems = {}): Promise<Page<BatchItem>> {
    return this.#api.call('listBatchItems', { params: { batch_id: batchId }, query });
  }

  /** Cancels every job that has not ended. */
  cancel(batchId: string): Promise<Batch> {
    return this.#api.call('cancelBatch', { params: { batch_id: batchId } });
  }

  /** Queues the failed jobs again; completed tasks are skipped. `BatchBusyError` while the batch is being created or cancelled. */
  retry(batchId: string): Promise<Batch> {
    return this.#api.call('retryBatch', { params: { batch_id: batchId } });
  }

  /** Resolves with the batch when its last job has ended, however it ended. */
  async wait(batchId: string, { onProgress, signal, onRetry }: WaitForBatchOptions = {}): Promise<Batch> {
    const options = { ...(signal && { signal }), ...(onRetry && { onRetry }), retrySeconds: WAIT_RETRY_SECONDS };
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_POLL_MS)) {
      const batch = await this.get(batchId, options);
      onProgress?.(batch);
      if (!UNDER_WAY.includes(batch.state)) return batch;
      await sleep(pauseMs, signal);
    }
  }

  /** The tenant's jobs by label and state: of one label, or of all. */
  async stats(label?: string): Promise<LabelStats[]> {
    return (await this.#api.call('getStats', { query: label ? { label } : {} })).items;
  }
}
