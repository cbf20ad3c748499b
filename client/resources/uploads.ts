import type { Api } from '../api.ts';
import { abortedError, checkAborted, type MillraceError } from '../errors.ts';
import { EventStream, watchEvents } from '../live/event-stream.ts';
import type { LiveConnection } from '../live/live-socket.ts';
import { Gate, type PauseController } from '../pause.ts';
import type { FileSource, Platform, StateStore } from '../ports.ts';
import type { File, ListUploads, Upload, UploadEvent, UploadPage, UploadWithParts } from '../types.ts';
import { AdaptiveConcurrency, fixedConcurrency } from '../upload/concurrency.ts';
import { PartSlots } from '../upload/part-slots.ts';
import { ProgressMeter, type UploadProgress } from '../upload/progress.ts';
import type { Integrity } from '../upload/run.ts';
import { TotalProgress, type UploadManyProgress } from '../upload/total-progress.ts';
import { type Uploaded, uploadFile } from '../upload/upload-file.ts';
import { eachFile, type UploadResult } from '../upload/upload-many.ts';
import { WATCH_RETRY_SECONDS, type WatchOptions } from './watch.ts';

/** How files are sent, one or many. */
export interface TransferOptions {
  /** A media type. The content is checked against it; `application/octet-stream` when unknown. */
  readonly contentType?: string;
  /** Stops the upload within moments; its session stays open for 7 days and can be resumed. */
  readonly signal?: AbortSignal;
  /** Pauses the upload, and lets it go on. */
  readonly pause?: PauseController;
  /** Browsers: whether to pause while the device is offline; by default unless the server is on this machine. */
  readonly pauseOffline?: boolean;
  /**
   * Parts sent at the same time, of all files together: 1 to `MAX_CONCURRENCY`. When left out it adapts: from 4 up while that is faster, at
   * most 32 (5 in browsers) and as many as fit the memory, and down when the network or the store suffers.
   */
  readonly concurrency?: number;
  /** 5 MiB – 5 GiB; picked by the file's size and the platform when left out. */
  readonly partSizeBytes?: number;
  /** Default `parts`. */
  readonly integrity?: Integrity;
  /** Whether to go on where a call with the same bytes, name and type was stopped; default true. */
  readonly resume?: boolean;
  /** Where this device notes the unfinished upload; the client's own store when left out. */
  readonly state?: StateStore;
  /** How long retryable failures in a row are retried; default 120. */
  readonly retrySeconds?: number;
  /** An attempt at a part ends after so long without a byte; default 60. */
  readonly stallSeconds?: number;
}

export interface UploadOptions extends TransferOptions {
  /** The file's display name; its own name when left out. */
  readonly name?: string;
  /** Goes on with this session and no other. */
  readonly uploadId?: string;
  /** Called at most ten times a second and at every change of phase. */
  readonly onProgress?: (progress: UploadProgress) => void;
  /** Told the session once it is known: with its id another device can resume. */
  readonly onSession?: (upload: Upload) => void;
  /** Told of every failure that is tried again. */
  readonly onRetry?: (error: MillraceError) => void;
}

export interface UploadManyOptions extends TransferOptions {
  /** Called at most ten times a second for each file in progress, and at every change of its phase. */
  readonly onProgress?: (progress: UploadManyProgress) => void;
  readonly onSession?: (upload: Upload, path: string) => void;
  readonly onRetry?: (error: MillraceError, path: string) => void;
  /** Told of every file that has ended. */
  readonly onResult?: (result: UploadResult) => void;
}

/** Parts that one call may send at the same time. */
export const MAX_CONCURRENCY = 64;

/** What the files of one call share. */
interface Transfer {
  readonly signal: AbortSignal;
  readonly gate: Gate;
  readonly slots: PartSlots;
  readonly state: StateStore;
  /** Sessions that are this call's own. */
  readonly claims: Set<string>;
  /** Keys of its notes. */
  readonly notes: Set<string>;
}

/** Upload sessions, and the sending of files. */
export class Uploads<Source> {
  readonly #api: Api;
  readonly #live: LiveConnection;
  readonly #platform: Platform<Source>;
  /** Sessions of the calls that are going on. */
  readonly #claimed = new Set<string>();

  constructor(api: Api, live: LiveConnection, platform: Platform<Source>) {
    this.#api = api;
    this.#live = live;
    this.#platform = platform;
  }

  /**
   * Uploads a file in parallel parts, each verified by its checksum, and resolves when the server has verified the whole.
   * A run that was stopped is taken up where it was: the same call again sends only what is missing.
   *
   * @example
   * const file = await millrace.uploads.upload('measurements.csv', { onProgress: (p) => console.log(p.percent) });
   * console.log(file.id, file.receipt.checksum_crc64nvme);
   */
  async upload(source: Source, options: UploadOptions = {}): Promise<File> {
    return this.#transfer(options, async (transfer) => {
      const { file } = await this.#open(
        () => this.#platform.openSource(source),
        transfer,
        (file) => this.#run(file, file.name, transfer, new ProgressMeter(file.sizeBytes, options.onProgress), options),
      );
      await forget(transfer);
      return file;
    });
  }

  /**
   * Uploads files and whole folders, which share one budget of parts in flight. A file that fails stops none of the
   * others: the results, in the order in which the files were found, say for each how it ended. That holds for an aborted
   * signal too: what was not completed by then has failed with `AbortedError`. Until a call with a file has ended with no
   * failure, the next one takes what is uploaded of it, if the file is still the same: `skipped` says so.
   *
   * @example
   * const results = await millrace.uploads.uploadMany(['photos', 'notes.txt'], { onProgress: (p) => show(p.percent) });
   * const failed = results.filter((result) => result.state === 'failed');
   */
  async uploadMany(sources: Iterable<Source>, options: UploadManyOptions = {}): Promise<UploadResult[]> {
    const { onProgress, onSession, onRetry, onResult, ...shared } = options;
    return this.#transfer(options, async (transfer) => {
      const found = await Promise.all(Array.from(sources, (source) => this.#platform.findFiles(source)));
      const files = found.flat();
      const total = new TotalProgress(files, onProgress);
      const results = await eachFile(files, async ({ path, open }) => {
        const outcome = await this.#open(open, transfer, (file) =>
          this.#run(file, path, transfer, total.meterOf(path, file.sizeBytes), {
            ...shared,
            ...(onSession && { onSession: (upload) => onSession(upload, path) }),
            ...(onRetry && { onRetry: (error) => onRetry(error, path) }),
          }),
        ).then(
          (uploaded): UploadResult => ({ path, state: 'completed', ...uploaded }),
          (error: Error): UploadResult => ({ path, state: 'failed', error }),
        );
        if (outcome.state === 'failed') total.failed();
        onResult?.(outcome);
        return outcome;
      });
      if (results.every((result) => result.state === 'completed')) await forget(transfer);
      return results;
    });
  }

  /** Goes on with a session by its id, on any device that has the file: parts that differ or lack are sent. */
  resume(uploadId: string, source: Source, options: Omit<UploadOptions, 'uploadId' | 'resume'> = {}): Promise<File> {
    return this.upload(source, { ...options, uploadId });
  }

  /** The state of a session and what has arrived; `UploadNotFoundError`. */
  get(
    uploadId: string,
    { includeParts = false, signal }: { includeParts?: boolean; signal?: AbortSignal } = {},
  ): Promise<UploadWithParts> {
    const query = includeParts ? { include: 'parts' as const } : {};
    return this.#api.call('getUpload', { params: { upload_id: uploadId }, query }, { ...(signal && { signal }) });
  }

  /** With `state: 'open'` and `idle_seconds`, sessions that have received no part for that long. */
  list(query: ListUploads = {}): Promise<UploadPage> {
    return this.#api.call('listUploads', { query });
  }

  /** Ends a session and deletes its parts; fine if it was aborted before. */
  abort(uploadId: string): Promise<Upload> {
    return this.#api.call('abortUpload', { params: { upload_id: uploadId } });
  }

  /**
   * A session's changes of state, oldest first, until it has ended; how far its parts are is in `get`. Cut connections are
   * taken up at the last event.
   */
  async *watch(uploadId: string, { after, ...options }: WatchOptions = {}): AsyncGenerator<UploadEvent, void, void> {
    const { signal = this.#api.signal } = options;
    const patient = { ...options, retrySeconds: WATCH_RETRY_SECONDS };
    const params = { upload_id: uploadId };
    const stream = new EventStream<UploadEvent>(this.#live, {
      topic: uploadId,
      after,
      poll: async (query) => (await this.#api.call('listUploadEvents', { params, query }, patient)).items,
    });
    const isOver = async (last: UploadEvent | undefined, emptyReads: number) => {
      if (last && hasEnded(last.data)) return true;
      return emptyReads > 1 && hasEnded(await this.#api.call('getUpload', { params }, patient));
    };
    yield* watchEvents(stream, isOver, signal);
  }

  /** Sets up what the files of one call share, and takes it down after it. */
  async #transfer<T>(options: TransferOptions, run: (transfer: Transfer) => Promise<T>): Promise<T> {
    const { concurrency, signal = this.#api.signal, pause, pauseOffline = !isLoopback(this.#api.url) } = options;
    const { state = this.#platform.state } = options;
    if (concurrency !== undefined && !isConcurrency(concurrency)) {
      throw new RangeError(`concurrency is 1 to ${MAX_CONCURRENCY}, not ${concurrency}`);
    }
    const { offline, limits } = this.#platform;
    const slots =
      concurrency === undefined
        ? new PartSlots(new AdaptiveConcurrency(limits.maxConcurrency), limits.maxBytesInFlight)
        : new PartSlots(fixedConcurrency(concurrency));
    // The run has its own signal: what listens to it ends with the run, however long the caller's signal lives.
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal?.reason);
    if (signal?.aborted) throw abortedError(signal);
    signal?.addEventListener('abort', onAbort, { once: true });
    const gate = new Gate([...(pause ? [pause] : []), ...(offline && pauseOffline ? [offline] : [])]);
    const claims = new Set<string>();
    try {
      return await run({ signal: stop.signal, gate, slots, state, claims, notes: new Set() });
    } finally {
      this.#release(claims, claims);
      gate.end();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #open<T>(
    open: () => Promise<FileSource>,
    { signal }: Transfer,
    use: (file: FileSource) => Promise<T>,
  ): Promise<T> {
    checkAborted(signal);
    const file = await open();
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  }

  async #run(
    file: FileSource,
    path: string,
    { signal, gate, slots, state, claims, notes }: Transfer,
    progress: ProgressMeter,
    options: UploadOptions,
  ): Promise<Uploaded> {
    const own = new Set<string>();
    const showPause = () => progress.pause(gate.closed);
    const unsubscribe = gate.subscribe(showPause);
    showPause();
    try {
      return await uploadFile(
        {
          api: this.#api,
          transport: this.#platform.transport,
          source: file,
          state,
          progress,
          slots,
          gate,
          claim: (uploadId) => {
            if (this.#claimed.has(uploadId)) return false;
            this.#claimed.add(uploadId);
            claims.add(uploadId);
            own.add(uploadId);
            return true;
          },
          noted: (stateKey) => notes.add(stateKey),
          largePartBytes: this.#platform.limits.largePartBytes,
          stallSeconds: options.stallSeconds ?? 60,
          retrySeconds: options.retrySeconds ?? 120,
          signal,
          onRetry: options.onRetry,
        },
        {
          name: options.name ?? file.name,
          path,
          contentType: options.contentType,
          integrity: options.integrity ?? 'parts',
          partSizeBytes: options.partSizeBytes,
          uploadId: options.uploadId,
          resume: options.resume ?? true,
          onSession: options.onSession,
        },
      );
    } catch (error) {
      // What has failed may be gone on with at once; what is done stays this call's until it ends.
      this.#release(claims, own);
      throw error;
    } finally {
      unsubscribe();
    }
  }

  #release(claims: Set<string>, uploadIds: Iterable<string>): void {
    for (const uploadId of uploadIds) {
      claims.delete(uploadId);
      this.#claimed.delete(uploadId);
    }
  }
}

/** Deletes the notes of a call that has ended well; one that stays only has a later call look at what is there. */
async function forget({ state, notes }: Transfer): Promise<void> {
  await Promise.all(Array.from(notes, (key) => state.delete(key).catch(() => undefined)));
}

function hasEnded({ state }: Pick<Upload, 'state'>): boolean {
  return state !== 'open' && state !== 'completing';
}

function isConcurrency(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= MAX_CONCURRENCY;
}

/** A server on this machine is there without any network. */
function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname.endsWith('.localhost') || /^(127\.|\[::1\]$)/.test(hostname);
}
