import { basename } from 'node:path';
import {
  type File,
  type Millrace,
  MillraceError,
  type UploadOptions,
  type UploadProgress,
} from '../../client/index.ts';
import { describeError, EXIT, type ExitCode, errorEvent, exitCodeOf, UsageError } from '../exit.ts';
import { formatBytes, formatSeconds, shellWord } from '../output.ts';
import { type Step, showProgress } from '../progress.ts';
import type { Session } from '../session.ts';

export interface UploadFlags {
  readonly name?: string;
  readonly contentType?: string;
  readonly concurrency?: number;
  readonly partSize?: number;
  readonly resume?: boolean;
}

/** Uploads files one after the other; one that fails stops none of the others. */
export async function uploadFiles(session: Session, paths: readonly string[], flags: UploadFlags): Promise<ExitCode> {
  if (flags.name !== undefined && paths.length > 1) throw new UsageError('--name is for one file');
  const millrace = await session.connect();
  let exit: ExitCode = EXIT.ok;
  for (const path of paths) {
    try {
      await uploadOne(session, millrace, path, flags);
    } catch (error) {
      exit ||= exitCodeOf(error);
      if (paths.length === 1 || exitCodeOf(error) === EXIT.interrupted) throw error;
      session.output.error(`${path}: ${describeError(error)}`);
      session.output.event({ ...errorEvent(error), path });
    }
  }
  return exit;
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
    output.result(
      { type: 'uploaded', path, file },
      `${file.id}  ${file.name}  ${formatBytes(file.size_bytes)}  CRC64NVME ${file.receipt.checksum_crc64nvme}`,
    );
    return file;
  } catch (error) {
    progress.stop();
    if (sessionId && canGoOn(error)) {
      const command = `millrace resume ${sessionId} ${shellWord(path)}`;
      output.note(`The session is kept for 7 days. Go on with: ${command}`);
      output.event({ type: 'stopped', path, upload_id: sessionId, resume: command });
    }
    throw error;
  }
}

function describeStep({ phase, percent, bytesSent, bytesTotal, bytesPerSecond, etaSeconds }: UploadProgress): Step {
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
