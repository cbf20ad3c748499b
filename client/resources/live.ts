import type { Api } from '../api.ts';
import type { LiveConnection } from '../live/live-socket.ts';
import { type LiveUpdate, StateStream } from '../live/state-stream.ts';

/** Of the newest jobs, and uploads, a snapshot has this many at most. */
const SNAPSHOT_SIZE = 500;

/** What happens to all jobs and uploads of the tenant, or to the jobs of a batch. */
export class Live {
  readonly #api: Api;
  readonly #live: LiveConnection;

  constructor(api: Api, live: LiveConnection) {
    this.#api = api;
    this.#live = live;
  }

  /**
   * The states as they are, then every change, until the signal is aborted, which throws `AbortedError`. After a cut
   * connection a snapshot comes first again. Where nothing is pushed, a snapshot comes whenever something has changed.
   *
   * @example
   * for await (const update of millrace.live.watch()) console.log(update.type);
   */
  async *watch({
    batchId,
    signal = this.#api.signal,
  }: {
    batchId?: string;
    signal?: AbortSignal | undefined;
  } = {}): AsyncGenerator<LiveUpdate, void, void> {
    const stream = new StateStream(this.#live, { topic: batchId ?? 'tenant', look: () => this.#look(batchId, signal) });
    try {
      for (;;) yield* await stream.next(signal);
    } finally {
      stream.close();
    }
  }

  async #look(
    batchId: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<LiveUpdate & { type: 'snapshot' }> {
    const options = signal ? { signal } : {};
    const query = { limit: SNAPSHOT_SIZE };
    if (batchId !== undefined) {
      const page = await this.#api.call('listBatchItems', { params: { batch_id: batchId }, query }, options);
      const items = page.items.flatMap(({ job_id, state }) => (job_id ? [{ job_id, state }] : []));
      return { type: 'snapshot', items, truncated: page.next_cursor !== undefined };
    }
    const [jobs, uploads] = await Promise.all([
      this.#api.call('listJobs', { query }, options),
      this.#api.call('listUploads', { query }, options),
    ]);
    const ofJobs = jobs.items.map(({ id, state, workflow, batch_id }) => ({
      job_id: id,
      state,
      workflow,
      ...(batch_id && { batch_id }),
    }));
    const ofUploads = uploads.items.map(({ id, state, name }) => ({ upload_id: id, state, name }));
    const truncated = jobs.next_cursor !== undefined || uploads.next_cursor !== undefined;
    return { type: 'snapshot', items: [...ofJobs, ...ofUploads], truncated };
  }
}
