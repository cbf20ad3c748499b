import type { Api, CallOptions } from '../api.ts';
import { EventStream, watchEvents } from '../live/event-stream.ts';
import type { LiveConnection } from '../live/live-socket.ts';
import type {
  Artifact,
  Checkpoint,
  Job,
  JobEvent,
  ListArtifacts,
  ListCheckpoints,
  ListJobs,
  ListTasks,
  Page,
  Task,
  Workflow,
} from '../types.ts';
import { WATCH_RETRY_SECONDS, type WatchOptions } from './watch.ts';

const ENDED: readonly Job['state'][] = ['completed', 'failed', 'cancelled'];

export interface CreateJobOptions {
  /** Automatic retries after retryable errors: 0–10, default 3. */
  readonly maxRetries?: number;
  /** The same key again, within 7 days, answers with the same job; a random one when left out. */
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

export interface WaitOptions extends Omit<WatchOptions, 'after'> {
  readonly onEvent?: (event: JobEvent) => void;
}

/** Jobs: what runs on files. */
export class Jobs {
  readonly #api: Api;
  readonly #live: LiveConnection;

  constructor(api: Api, live: LiveConnection) {
    this.#api = api;
    this.#live = live;
  }

  /** Queues a job. `input` is checked by the workflow's schema: see `workflows.list`. */
  create(workflow: string, input: Record<string, unknown> = {}, options: CreateJobOptions = {}): Promise<Job> {
    const { maxRetries, idempotencyKey = crypto.randomUUID(), signal } = options;
    const body = { workflow, input, ...(maxRetries !== undefined && { max_retries: maxRetries }) };
    return this.#api.call('createJob', { body }, { idempotencyKey, ...(signal && { signal }) });
  }

  /**
   * Queues a job and waits until it has ended, however it ends: look at `state`.
   *
   * @example
   * const job = await millrace.jobs.run('inference', { file_id: file.id });
   * if (job.state !== 'completed') throw new Error(job.error?.message);
   */
  async run(
    workflow: string,
    input: Record<string, unknown> = {},
    options: CreateJobOptions & WaitOptions = {},
  ): Promise<Job> {
    const job = await this.create(workflow, input, options);
    return this.wait(job.id, options);
  }

  /** `JobNotFoundError`. */
  get(jobId: string): Promise<Job> {
    return this.#get(jobId, {});
  }

  /**
   * Newest first. `created_after` and `created_before` are RFC 3339 timestamps; jobs created at the former are listed, those
   * created at the latter are not.
   */
  list(query: ListJobs = {}): Promise<Page<Job>> {
    return this.#api.call('listJobs', { query });
  }

  /** A job's tasks in order. */
  tasks(jobId: string, query: ListTasks = {}): Promise<Page<Task>> {
    return this.#api.call('listTasks', { params: { job_id: jobId }, query });
  }

  /** What a job has kept of itself to go on from, oldest first. */
  checkpoints(jobId: string, query: ListCheckpoints = {}): Promise<Page<Checkpoint>> {
    return this.#api.call('listCheckpoints', { params: { job_id: jobId }, query });
  }

  /** The files that a job made, with presigned URLs. */
  artifacts(jobId: string, query: ListArtifacts = {}): Promise<Page<Artifact>> {
    return this.#api.call('listArtifacts', { params: { job_id: jobId }, query });
  }

  /** Asks a job to stop; it is `cancelling` until nothing of it runs. `JobNotCancellableError` if it has ended. */
  async cancel(jobId: string): Promise<Job> {
    const input = { params: { job_id: jobId } };
    return (await this.#api.call('cancelJob', input, { doneCode: 'JobNotCancellableError' })) ?? this.get(jobId);
  }

  /** Queues a failed or cancelled job again; completed tasks are skipped. */
  async retry(jobId: string): Promise<Job> {
    const input = { params: { job_id: jobId } };
    return (await this.#api.call('retryJob', input, { doneCode: 'JobNotRetryableError' })) ?? this.get(jobId);
  }

  /** Resolves with the job when it has ended, however it ended. */
  async wait(jobId: string, { onEvent, ...options }: WaitOptions = {}): Promise<Job> {
    for (;;) {
      for await (const event of this.watch(jobId, options)) onEvent?.(event);
      const job = await this.#get(jobId, options);
      if (ENDED.includes(job.state)) return job;
    }
  }

  /**
   * A job's events, oldest first, until it has ended: pushed over WebSocket where the server has one, else by long poll.
   * Cut connections are taken up at the last event, so none is missed and none comes twice.
   *
   * @example
   * for await (const event of millrace.jobs.watch(job.id)) console.log(event.type);
   */
  async *watch(jobId: string, { after, ...options }: WatchOptions = {}): AsyncGenerator<JobEvent, void, void> {
    const { signal = this.#api.signal } = options;
    const stream = new EventStream<JobEvent>(this.#live, {
      topic: jobId,
      after,
      poll: async (query) => {
        const patient = { ...options, retrySeconds: WATCH_RETRY_SECONDS };
        return (await this.#api.call('listJobEvents', { params: { job_id: jobId }, query }, patient)).items;
      },
    });
    const isOver = async (last: JobEvent | undefined, emptyReads: number) => {
      const data = last?.data;
      const endedAttempt = data && 'state' in data && ENDED.includes(data.state) ? data.attempt : undefined;
      if (endedAttempt === undefined && emptyReads === 0) return false;
      const job = await this.#get(jobId, options);
      // A retried job goes on after an end. The event of the end comes a little after the state, and events of long ago
      // are deleted: an ended job gets one more read before the watch ends without having seen its end.
      return ENDED.includes(job.state) && (endedAttempt === job.attempt || emptyReads > 1);
    };
    yield* watchEvents(stream, isOver, signal);
  }

  #get(jobId: string, { signal, onRetry }: CallOptions): Promise<Job> {
    const options = { ...(signal && { signal }), ...(onRetry && { onRetry }) };
    return this.#api.call('getJob', { params: { job_id: jobId } }, { ...options, retrySeconds: WATCH_RETRY_SECONDS });
  }
}

/** The workflows of the deployment. */
export class Workflows {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Every workflow and the JSON Schema of the input it takes. */
  async list(): Promise<Workflow[]> {
    return (await this.#api.call('listWorkflows', {})).items;
  }
}
