import type { Api } from '../api.ts';
import { abortedError, type MillraceError } from '../errors.ts';
import type { Platform, StateStore } from '../ports.ts';
import type { File, ListUploads, Upload, UploadPage, UploadWithParts } from '../types.ts';
import { ProgressMeter, type UploadProgress } from '../upload/progress.ts';
import type { Integrity } from '../upload/run.ts';
import { uploadFile } from '../upload/upload-file.ts';

export interface UploadOptions {
  /** The file's display name; its own name when left out. */
  readonly name?: string;
  /** A media type. The content is checked against it; `application/octet-stream` when unknown. */
  readonly contentType?: string;
  /** Called at most ten times a second and at every change of phase. */
  readonly onProgress?: (progress: UploadProgress) => void;
  /** Told the session once it is known: with its id another device can resume. */
  readonly onSession?: (upload: Upload) => void;
  /** Told of every failure that is tried again. */
  readonly onRetry?: (error: MillraceError) => void;
  /** Stops the upload within moments; its session stays open for 7 days and can be resumed. */
  readonly signal?: AbortSignal;
  /** Parts sent at the same time: 1–64, default 4. */
  readonly concurrency?: number;
  /** 5 MiB – 5 GiB; picked by the file's size when left out, and 64 MiB at least above 1 GiB. */
  readonly partSizeBytes?: number;
  /** Default `parts`. */
  readonly integrity?: Integrity;
  /** Goes on with this session and no other. */
  readonly uploadId?: string;
  /** Whether to go on with an open session of the same bytes and name; default true. */
  readonly resume?: boolean;
  /** Where this device notes the unfinished upload; the client's own store when left out. */
  readonly state?: StateStore;
  /** Failures that may heal are tried again for so long in a row; default 120. */
  readonly retrySeconds?: number;
  /** An attempt at a part ends after so long without a byte; default 60. */
  readonly stallSeconds?: number;
}

const DEFAULT_CONCURRENCY = 4;
const MAX_CONCURRENCY = 64;

/** Upload sessions, and the sending of files. */
export class Uploads<Source> {
  readonly #api: Api;
  readonly #platform: Platform<Source>;

  constructor(api: Api, platform: Platform<Source>) {
    this.#api = api;
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
    const { concurrency = DEFAULT_CONCURRENCY } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > MAX_CONCURRENCY) {
      throw new RangeError(`concurrency is 1 to ${MAX_CONCURRENCY}, not ${concurrency}`);
    }
    // The run has its own signal: what listens to it ends with the run, however long the caller's signal lives.
    const stop = new AbortController();
    const onAbort = () => stop.abort(options.signal?.reason);
    if (options.signal?.aborted) throw abortedError(options.signal);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    const file = await this.#platform.openSource(source);
    try {
      const run = {
        api: this.#api,
        transport: this.#platform.transport,
        source: file,
        state: options.state ?? this.#platform.state,
        progress: new ProgressMeter(file.sizeBytes, options.onProgress),
        concurrency,
        stallSeconds: options.stallSeconds ?? 60,
        retrySeconds: options.retrySeconds ?? 120,
        signal: stop.signal,
        onRetry: options.onRetry,
      };
      return await uploadFile(run, {
        name: options.name ?? file.name,
        contentType: options.contentType,
        integrity: options.integrity ?? 'parts',
        partSizeBytes: options.partSizeBytes,
        uploadId: options.uploadId,
        resume: options.resume ?? true,
        onSession: options.onSession,
      });
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      await file.close();
    }
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

  /** With `state: 'open'` and `idle`, sessions that no part has reached for so many seconds. */
  list(query: ListUploads = {}): Promise<UploadPage> {
    return this.#api.call('listUploads', { query });
  }

  /** Ends a session and deletes its parts; fine if it was aborted before. */
  abort(uploadId: string): Promise<Upload> {
    return this.#api.call('abortUpload', { params: { upload_id: uploadId } });
  }
}
