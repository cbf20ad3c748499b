import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  type File,
  type Millrace,
  MillraceError,
  type UploadManyProgress,
  type UploadOptions,
  type UploadProgress,
  type UploadResult,
} from 'millrace';
import { describeError, EXIT, type ExitCode, errorEvent, exitCodeOf, UsageError } from '../exit.ts';
import { formatBytes, formatSeconds, shellWord } from '../output.ts';
import { type Step, showManyProgress, showProgress } from '../progress.ts';
import type { Session } from '../session.ts';

export interface UploadFlags {
  readonly name?: string;
  readonly contentType?: string;
  readonly concurrency?: number;
  readonly partSize?: number;
  readonly resume?: boolean;
}

/** Uploads files and folders; a file that fails stops none of the others. */
export async function uploadFiles(session: Session, paths: readonly string[], flags: UploadFlags): Promise<ExitCode> {
  const [path = '', ...others] = paths;
  const isOne = others.length === 0 && !(await isFolder(path));
  if (flags.name !== undefined && !isOne) throw new UsageError('--name requires exactly one file');
  const millrace = await session.connect();
  if (!isOne) return uploadMany(session, millrace, paths, flags);
  await uploadOne(session, millrace, path, flags);
  return EXIT.ok;
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

async function uploadMany(
  { output, signal }: Session,
  millrace: Millrace,
  paths: readonly string[],
  { name: _, partSize, ...flags }: UploadFlags,
): Promise<ExitCode> {
  const shown = showManyProgress(output);
  const sessions = new Map<string, string>();
  const results = await millrace.uploads
    .uploadMany(paths, {
      ...flags,
      ...(partSize !== undefined && { partSizeBytes: partSize }),
      signal,
      onProgress: (progress) => {
        shown.of(progress.file.path).update(describeStep(progress.file));
        shown.total.update(describeTotal(progress));
      },
      onSession: (upload, path) => {
        sessions.set(path, upload.id);
        output.event({ type: 'session', name: basename(path), path, upload_id: upload.id });
      },
      onRetry: (error, path) => shown.of(path).retrying(error),
      onResult: (result) => {
        shown.of(result.path).stop();
        const { path } = result;
        if (result.state === 'completed') {
          const { file, skipped } = result;
          if (output.json) output.result({ type: 'uploaded', path, file, skipped }, '');
        } else
          output.event({ ...errorEvent(result.error), path, ...resumeHint(sessions.get(path), path, result.error) });
      },
    })
    .finally(() => shown.total.stop());
  return tellResults(output, results);
}

/** Prints the results when all progress bars are gone; with --json they have been printed already. */
function tellResults(output: Session['output'], results: readonly UploadResult[]): ExitCode {
  const failed = results.filter((result) => result.state === 'failed');
  for (const result of results) {
    if (result.state === 'completed') {
      if (!output.json) output.result({ type: 'uploaded' }, describeFile(result.file, result.path));
    } else if (exitCodeOf(result.error) !== EXIT.interrupted) {
      output.error(`${result.path}: ${describeError(result.error)}`);
    }
  }
  const [fileCount, filesFailed] = [results.length, failed.length];
  const filesSkipped = results.filter((result) => result.state === 'completed' && result.skipped).length;
  const figures = { files_done: fileCount - filesFailed, files_skipped: filesSkipped, files_failed: filesFailed };
  output.event({ type: 'summary', file_count: fileCount, ...figures });
  if (filesSkipped > 0) output.note(`${filesSkipped} of ${fileCount} files had already been uploaded.`);
  if (filesFailed > 0) {
    output.note(`${fileCount - filesFailed} of ${fileCount} files have been uploaded.`);
    if (failed.some(({ error }) => canGoOn(error))) {
      output.note('Run the same command again to resume: what has arrived is not sent again.');
    }
  }
  const interrupted = failed.find(({ error }) => exitCodeOf(error) === EXIT.interrupted);
  if (interrupted) throw interrupted.error;
  return failed[0] ? exitCodeOf(failed[0].error) : EXIT.ok;
}

export async function resumeUpload(
  session: Session,
  uploadId: string,
  path: string,
  flags: UploadFlags,
): Promise<ExitCode> {
  await uploadOne(session, await session.connect(), path, { ...flags, uploadId });
  return EXIT.ok;
}

/** Uploads a file with progress; when it stops early, says how to go on. */
export async function uploadOne(
  { output, signal }: Session,
  millrace: Millrace,
  path: string,
  { partSize, uploadId, ...flags }: UploadFlags & { readonly uploadId?: string },
): Promise<File> {
  const progress = showProgress(output, basename(path));
  let sessionId: string | undefined;
  const options: UploadOptions = {
    ...flags,
    ...(partSize !== undefined && { partSizeBytes: partSize }),
    ...(uploadId !== undefined && { uploadId }),
    signal,
    onProgress: (step) => progress.update(describeStep(step)),
    onSession: (upload) => {
      sessionId = upload.id;
      output.event({ type: 'session', name: basename(path), upload_id: upload.id });
    },
    onRetry: progress.retrying,
  };
  try {
    const file = await millrace.uploads.upload(path, options);
    progress.stop();
    output.result({ type: 'uploaded', path, file }, describeFile(file, file.name));
    return file;
  } catch (error) {
    progress.stop();
    const hint = resumeHint(sessionId, path, error);
    if (hint) {
      output.note(`The upload can be resumed within 7 days of its start: ${hint.resume}`);
      output.event({ type: 'stopped', path, ...hint });
    }
    throw error;
  }
}

function resumeHint(uploadId: string | undefined, path: string, error: unknown) {
  if (!uploadId || !canGoOn(error)) return undefined;
  return { upload_id: uploadId, resume: `millrace resume ${uploadId} ${shellWord(path)}` };
}

function describeFile(file: File, name: string): string {
  return `${file.id}  ${name}  ${formatBytes(file.size_bytes)}  CRC64NVME ${file.receipt.checksum_crc64nvme}`;
}

function describeTotal({ filesDone, filesFailed, fileCount, ...progress }: UploadManyProgress): Step {
  const { text, data, ...step } = describeStep({ ...progress, phase: 'uploading' });
  return {
    ...step,
    text: `${filesDone} of ${fileCount} files, ${text}`,
    data: { ...data, files_done: filesDone, files_failed: filesFailed, file_count: fileCount },
  };
}

type Figures = Pick<UploadProgress, 'phase' | 'percent' | 'bytesSent' | 'bytesTotal' | 'bytesPerSecond' | 'etaSeconds'>;

function describeStep({ phase, percent, bytesSent, bytesTotal, bytesPerSecond, etaSeconds }: Figures): Step {
  const rate = bytesPerSecond > 0 ? `, ${formatBytes(bytesPerSecond)}/s` : '';
  const eta = etaSeconds !== undefined && phase === 'uploading' ? `, ${formatSeconds(etaSeconds)} left` : '';
  return {
    percent,
    phase,
    text: `${formatBytes(bytesSent)} of ${formatBytes(bytesTotal)}${rate}${eta}`,
    data: {
      bytes_sent: bytesSent,
      bytes_total: bytesTotal,
      bytes_per_second: bytesPerSecond,
      ...(etaSeconds !== undefined && { eta_seconds: etaSeconds }),
    },
  };
}

const CAN_GO_ON = ['AbortedError', 'NetworkError', 'FileChangedError', 'FileUnreadableError', 'StorageRefusedError'];

function canGoOn(error: unknown): boolean {
  return error instanceof MillraceError && (CAN_GO_ON.includes(error.code) || (error.status ?? 0) >= 500);
}
