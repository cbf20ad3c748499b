import { MillraceError } from '../errors.ts';
import { sleep } from '../retry.ts';
import type { File, UploadWithParts } from '../types.ts';
import { hashRange } from './hash.ts';
import { patiently, type Session, type UploadRun } from './run.ts';

const FIRST_POLL_MS = 500;
const LONGEST_POLL_MS = 5_000;

/** Has the server make the file of all parts, and waits until it has. */
export async function completeSession(run: UploadRun, { upload }: Session, checksum: string): Promise<File> {
  const answer = await run.api.call(
    'completeUpload',
    { params: { upload_id: upload.id }, body: { checksum_crc64nvme: checksum } },
    patiently(run),
  );
  if ('file' in answer) return answer.file;
  const ended = await settled(run, upload.id);
  if (ended.state === 'open') {
    throw new MillraceError('PartChecksumMismatchError', 'parts changed before the upload was completed');
  }
  if (ended.state !== 'completed') throw notOpen(ended);
  return fileOf(run, ended);
}

/** The session with its parts, as it is once it is no longer `completing`. */
export async function settled(run: UploadRun, uploadId: string): Promise<UploadWithParts> {
  for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_POLL_MS)) {
    const input = { params: { upload_id: uploadId }, query: { include: 'parts' as const } };
    const upload = await run.api.call('getUpload', input, patiently(run));
    if (upload.state !== 'completing') return upload;
    await sleep(pauseMs, run.signal);
  }
}

/** Why a session is of no more use, by its own error if it has one. */
export function notOpen({ state, error }: UploadWithParts): MillraceError {
  const code = (error?.code ?? 'UploadNotOpenError') as MillraceError['code'];
  return new MillraceError(code, error?.message ?? `the upload is ${state}`, { details: { state } });
}

/**
 * The file of a session that was completed before this run; `FileChangedError` if it is not the local file's bytes, whose
 * `checksum` may be known.
 */
export async function takeFile(run: UploadRun, upload: UploadWithParts, checksum?: string): Promise<File> {
  const file = await fileOf(run, upload);
  const { sizeBytes } = run.source;
  const local = checksum ?? (await hashRange(run.source, 0, sizeBytes, run.signal));
  if (local === file.receipt.checksum_crc64nvme) return file;
  throw new MillraceError('FileChangedError', 'the upload was already completed with different content', {
    details: { file_id: file.id },
  });
}

async function fileOf(run: UploadRun, { file_id }: UploadWithParts): Promise<File> {
  if (!file_id) throw new MillraceError('UnexpectedAnswerError', 'the completed upload has no file id');
  return run.api.call('getFile', { params: { file_id } }, patiently(run));
}
