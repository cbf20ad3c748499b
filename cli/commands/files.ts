import { stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { downloadFile, type Millrace, MillraceError, paginate, type Upload, type UploadPage } from 'millrace';
import { EXIT, type ExitCode, UsageError } from '../exit.ts';
import { formatBytes, type Output, table } from '../output.ts';
import { showProgress } from '../progress.ts';
import type { Session } from '../session.ts';
import { collect } from './collect.ts';

export interface ListFlags {
  readonly uploads?: boolean;
  readonly state?: Upload['state'];
  readonly idleSeconds?: number;
  readonly deleted?: boolean;
  readonly limit: number;
}

export async function listFiles({ output, connect }: Session, flags: ListFlags): Promise<ExitCode> {
  const millrace = await connect();
  if (flags.idleSeconds) return listIdle(output, millrace, flags.idleSeconds, flags.limit);
  if (flags.uploads || flags.state) {
    const uploads = await collect(
      paginate((cursor) => millrace.uploads.list({ ...(flags.state && { state: flags.state }), cursor })),
      flags.limit,
    );
    const rows = uploads.map(({ id, state, size_bytes, created_at, name }) => [
      id,
      state,
      formatBytes(size_bytes),
      created_at,
      name,
    ]);
    output.list('upload', uploads, table(['UPLOAD', 'STATE', 'SIZE', 'CREATED', 'NAME'], rows));
    return EXIT.ok;
  }
  const files = await collect(
    paginate((cursor) => millrace.files.list({ ...(flags.deleted && { deleted: 'true' }), cursor })),
    flags.limit,
  );
  const rows = files.map((file) => [file.id, formatBytes(file.size_bytes), file.created_at, file.name]);
  output.list('file', files, table(['FILE', 'SIZE', 'CREATED', 'NAME'], rows));
  return EXIT.ok;
}

/** Shows some of the sessions, and adds up what all of them keep. */
async function listIdle(output: Output, millrace: Millrace, idleSeconds: number, limit: number): Promise<ExitCode> {
  const uploads: UploadPage['items'] = [];
  const orphaned = { sessions: 0, bytes: 0, usd_per_month: 0 };
  const pages = async (cursor: string | undefined) => {
    const page = await millrace.uploads.list({ state: 'open', idle_seconds: idleSeconds, cursor });
    orphaned.sessions += page.orphaned?.sessions ?? 0;
    orphaned.bytes += page.orphaned?.bytes ?? 0;
    // Rounded to a hundredth of a cent, like the server's figure.
    orphaned.usd_per_month = Math.round(1e4 * (orphaned.usd_per_month + (page.orphaned?.usd_per_month ?? 0))) / 1e4;
    return page;
  };
  for await (const upload of paginate(pages)) if (uploads.length < limit) uploads.push(upload);
  const rows = uploads.map((upload) => [
    upload.id,
    upload.state,
    formatBytes(upload.size_bytes),
    formatBytes(upload.received_bytes ?? 0),
    upload.last_activity_at ?? '',
    upload.name,
  ]);
  output.list('upload', uploads, table(['UPLOAD', 'STATE', 'SIZE', 'RECEIVED', 'LAST PART', 'NAME'], rows));
  const { sessions, bytes, usd_per_month } = orphaned;
  output.result(
    { type: 'orphaned', orphaned },
    `sessions: ${sessions}, received: ${formatBytes(bytes)}, about ${usd_per_month.toFixed(2)} USD per month`,
  );
  return EXIT.ok;
}

export async function deleteFile(
  { output, connect }: Session,
  fileId: string,
  { permanent = false }: { readonly permanent?: boolean },
): Promise<ExitCode> {
  await (await connect()).files.delete(fileId, { permanent });
  output.result({ type: 'deleted', file_id: fileId, permanent }, `${fileId}  deleted${permanent ? ' for good' : ''}`);
  return EXIT.ok;
}

export async function restoreFile({ output, connect }: Session, fileId: string): Promise<ExitCode> {
  const file = await (await connect()).files.restore(fileId);
  output.result({ type: 'restored', file }, `${file.id}  ${file.name}`);
  return EXIT.ok;
}

export async function showUsage({ output, connect }: Session): Promise<ExitCode> {
  const usage = await (await connect()).files.usage();
  const { stored_bytes, bytes_per_day, open_sessions } = usage;
  const rows = [
    ['stored bytes', formatBytes(stored_bytes.used), formatBytes(stored_bytes.limit)],
    ['bytes per day', formatBytes(bytes_per_day.used), formatBytes(bytes_per_day.limit)],
    ['open sessions', String(open_sessions.used), String(open_sessions.limit)],
  ];
  output.result({ type: 'usage', usage }, table(['QUOTA', 'USED', 'LIMIT'], rows));
  return EXIT.ok;
}

export async function download(
  { output, connect, signal }: Session,
  fileId: string,
  { output: path }: { readonly output?: string },
): Promise<ExitCode> {
  const millrace = await connect();
  const isPath = path !== undefined && !(await isFolder(path));
  const target = isPath ? path : await freeName(path ?? '', (await millrace.files.get(fileId)).name);
  const progress = showProgress(output, basename(target));
  try {
    const file = await downloadFile(millrace, fileId, target, {
      signal,
      onRetry: progress.retrying,
      onProgress: ({ bytesReceived, bytesTotal }) =>
        progress.update({
          percent: Math.floor((100 * bytesReceived) / bytesTotal),
          phase: 'downloading',
          text: `${formatBytes(bytesReceived)} of ${formatBytes(bytesTotal)}`,
          data: { bytes_received: bytesReceived, bytes_total: bytesTotal },
        }),
    });
    progress.stop();
    output.result({ type: 'downloaded', path: target, file }, `${target}  ${formatBytes(file.size_bytes)}  verified`);
    return EXIT.ok;
  } finally {
    progress.stop();
  }
}

async function isFolder(path: string): Promise<boolean> {
  if (path.endsWith('/') || path.endsWith(sep)) return true;
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** The file's own name in the folder, unless there is one already. */
async function freeName(folder: string, name: string): Promise<string> {
  // It leads to no other folder.
  const ownName = basename(name);
  if (['', '.', '..'].includes(ownName)) {
    throw new UsageError(`'${name}' cannot be used as a local file name: pass a target with -o`);
  }
  const target = join(folder, ownName);
  if (await stat(target).catch(() => undefined)) {
    throw new UsageError(`${target} already exists: pass another target with -o`);
  }
  return target;
}

export async function verify({ output, connect, signal }: Session, path: string, fileId: string): Promise<ExitCode> {
  const { matches, local, receipt } = await (await connect()).verify(path, fileId, { signal });
  if (!matches) {
    throw new MillraceError(
      'ChecksumMismatchError',
      `${path} differs from the uploaded file: it has ${local.sizeBytes} bytes and CRC64NVME ` +
        `${local.checksumCrc64Nvme}, but the receipt has ${receipt.size_bytes} bytes and ${receipt.checksum_crc64nvme}`,
    );
  }
  output.result(
    {
      type: 'verified',
      path,
      file_id: fileId,
      checksum_crc64nvme: local.checksumCrc64Nvme,
      size_bytes: local.sizeBytes,
    },
    `${path} equals the uploaded file: ${local.sizeBytes} bytes, CRC64NVME ${local.checksumCrc64Nvme}`,
  );
  return EXIT.ok;
}
