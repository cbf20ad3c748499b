import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { readRetryAfter } from '../../contract/backoff.ts';
import { createCrc64Nvme } from '../../contract/crc64nvme.ts';
import { abortedError, MillraceError, networkError } from '../errors.ts';
import type { Files } from '../resources/files.ts';
import { mayRetry, Retries } from '../retry.ts';
import type { File } from '../types.ts';
import { systemReason } from './system-error.ts';

const STALL_SECONDS = 60;

export interface DownloadOptions {
  readonly onProgress?: (progress: { bytesReceived: number; bytesTotal: number }) => void;
  readonly onRetry?: (error: MillraceError) => void;
  readonly signal?: AbortSignal;
  /** Cut connections are taken up where they broke off for so long in a row; default 120. */
  readonly retrySeconds?: number;
}

/**
 * Downloads a file to `path` and compares it with its receipt. The bytes go to a file beside it that takes the name only
 * when they are right: `DownloadMismatchError` leaves `path` as it was. `FileUnwritableError`, before a byte is asked for,
 * when `path` is a folder or nothing can be written there.
 */
export async function downloadFile(
  millrace: { readonly files: Files },
  fileId: string,
  path: string,
  options: DownloadOptions = {},
): Promise<File> {
  const file = await millrace.files.get(fileId);
  const aside = join(dirname(path), `.${randomUUID().slice(0, 8)}.part`);
  const output = await openAside(path, aside);
  try {
    const checksum = await receive(millrace, file, output, options);
    if (checksum !== file.receipt.checksum_crc64nvme) {
      throw new MillraceError('DownloadMismatchError', 'the downloaded bytes differ from the receipt');
    }
    await rename(aside, path);
    return file;
  } finally {
    await rm(aside, { force: true });
  }
}

/** Fails before the transfer if the target can't be written. */
async function openAside(path: string, aside: string): Promise<FileHandle> {
  const there = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENAMETOOLONG') return undefined;
    throw new MillraceError('FileUnwritableError', `${path} cannot be written: its name is too long`, { cause });
  });
  if (path === '' || path.endsWith('/') || path.endsWith(sep) || (there && !there.isFile())) {
    throw new MillraceError('FileUnwritableError', `'${path}' is not a file path: add the file name`);
  }
  const folder = dirname(path);
  return open(aside, 'wx').catch(async (cause: NodeJS.ErrnoException) => {
    const hasFolder = (await stat(folder).catch(() => undefined))?.isDirectory();
    const reason = hasFolder ? systemReason(cause) : `the folder ${folder} does not exist`;
    throw new MillraceError('FileUnwritableError', `${path} cannot be written: ${reason}`, { cause });
  });
}

/** Writes the bytes to `output` and closes it, by as many range requests as it takes; resolves with their checksum. */
async function receive(
  millrace: { readonly files: Files },
  file: File,
  output: FileHandle,
  { onProgress, onRetry, signal, retrySeconds = 120 }: DownloadOptions,
): Promise<string> {
  const bytesTotal = file.receipt.size_bytes;
  let bytesReceived = 0;
  let retries = new Retries({ seconds: retrySeconds, attempts: 3 });
  try {
    const hash = await createCrc64Nvme();
    while (bytesReceived < bytesTotal) {
      const before = bytesReceived;
      try {
        const { url } = await millrace.files.downloadUrl(file.id);
        for await (const chunk of readFrom(url, bytesReceived, signal)) {
          await output.writeFile(chunk);
          hash.update(chunk);
          bytesReceived += chunk.byteLength;
          onProgress?.({ bytesReceived, bytesTotal });
        }
        if (bytesReceived < bytesTotal) throw new MillraceError('NetworkError', 'the download was interrupted');
      } catch (error) {
        if (!mayRetry(error)) throw error;
        if (bytesReceived > before) retries = new Retries({ seconds: retrySeconds, attempts: 3 });
        await retries.pause(error, signal, onRetry);
      }
    }
    await output.sync();
    return hash.digestBase64();
  } finally {
    await output.close();
  }
}

async function* readFrom(url: string, start: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const onStall = () => stop.abort(new Error(`no bytes moved for ${STALL_SECONDS} s`));
  const stalled = setTimeout(onStall, STALL_SECONDS * 1_000);
  try {
    const response = await fetch(url, { headers: start > 0 ? { range: `bytes=${start}-` } : {}, signal: either });
    if (!response.ok) throw await refusal(response);
    if (response.status !== (start > 0 ? 206 : 200) || !response.body) {
      throw new MillraceError(
        'UnexpectedAnswerError',
        `the object store answered ${response.status} to a range request`,
      );
    }
    for await (const chunk of response.body) {
      stalled.refresh();
      yield chunk;
    }
  } catch (error) {
    if (signal?.aborted) throw abortedError(signal);
    if (error instanceof MillraceError) throw error;
    throw networkError(`cannot download from ${new URL(url).host}`, error);
  } finally {
    clearTimeout(stalled);
    stop.abort();
  }
}

async function refusal(response: Response): Promise<MillraceError> {
  const code = /<Code>([^<]{1,100})<\/Code>/.exec(await response.text())?.[1] ?? '';
  const retryAfterSeconds = readRetryAfter(response.headers.get('retry-after'));
  return new MillraceError('StorageRefusedError', `the object store answered ${response.status} ${code}`.trimEnd(), {
    status: response.status,
    details: { storage_code: code },
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}
