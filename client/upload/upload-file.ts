import { MillraceError } from '../errors.ts';
import type { File, UploadWithParts } from '../types.ts';
import { completeSession, settled, takeFile } from './complete.ts';
import { combineParts } from './hash.ts';
import { isSameFile, openSession, type SessionOptions, saveSession } from './open-session.ts';
import { receivedOf, type Session, type UploadRun } from './run.ts';
import { sendParts } from './send-parts.ts';

/** Rounds of sending what the server, asked to complete, turned out to lack. */
const MAX_ROUNDS = 3;
/** Refusals of a completion after which the session stays open for its parts to be mended. */
const MENDABLE = ['PartsMissingError', 'PartChecksumMismatchError', 'ChecksumMismatchError'];

export interface UploadFileOptions extends SessionOptions {
  readonly onSession: ((upload: UploadWithParts) => void) | undefined;
}

/** A file and its receipt; `skipped` if an earlier run had completed it, and nothing was left to send. */
export interface Uploaded {
  readonly file: File;
  readonly skipped: boolean;
}

/** Uploads a file from the first byte, or from wherever an earlier run was stopped, to its receipt. */
export async function uploadFile(run: UploadRun, options: UploadFileOptions): Promise<Uploaded> {
  const opened = await openSession(run, options);
  const { upload } = 'session' in opened ? opened.session : opened;
  options.onSession?.(upload);
  run.progress.start(upload.part_count);
  const skipped = 'file' in opened;
  // Sending vouches for the rest.
  const onTrust = !skipped && opened.session.trusted && opened.session.received.size > 0;
  let file: File;
  try {
    file = skipped ? opened.file : await sendOrTake(run, opened.session);
  } catch (error) {
    // Another file that looks alike was sent into the session in between, and nothing but the whole showed it.
    const deceived = onTrust && error instanceof MillraceError && error.code === 'ChecksumMismatchError';
    if (!deceived || options.uploadId !== undefined) throw error;
    return uploadFile(run, { ...options, resume: false });
  }
  run.progress.enter('finalizing');
  run.progress.enter('done');
  return { file, skipped };
}

async function sendOrTake(run: UploadRun, session: Session): Promise<File> {
  try {
    return await sendAndComplete(run, session);
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'UploadNotOpenError') throw error;
    // Somebody else may have completed it, such as another device with the same file.
    const upload = await settled(run, session.upload.id);
    if (upload.state !== 'completed') throw error;
    return takeFile(run, upload);
  }
}

async function sendAndComplete(run: UploadRun, session: Session): Promise<File> {
  for (let round = 1; ; round++) {
    await sendParts(run, session);
    await checkUnchanged(run, session);
    session.trusted = true;
    const checksum = wholeChecksum(session);
    await saveSession(run, session, true, checksum);
    run.progress.enter('finalizing');
    try {
      return await completeSession(run, session, checksum);
    } catch (error) {
      if (round === MAX_ROUNDS || !(await lookAgain(run, session, error))) throw error;
    }
  }
}

function wholeChecksum({ upload, checksums }: Session): string {
  const inOrder = Array.from({ length: upload.part_count }, (_, index) => checksums.get(index + 1) ?? '');
  return combineParts(inOrder, upload.size_bytes, upload.part_size_bytes);
}

/** Parts read from different versions would each arrive intact and still make a file that never was. */
async function checkUnchanged({ source }: UploadRun, { identity }: Session): Promise<void> {
  if (!identity || isSameFile(identity, await source.identity?.())) return;
  throw new MillraceError('FileChangedError', 'the file changed during the upload; resume to send what differs');
}

/** After a refused completion: what the server has now, and whether sending what differs may mend it. */
async function lookAgain(run: UploadRun, session: Session, error: unknown): Promise<boolean> {
  if (!(error instanceof MillraceError) || !MENDABLE.includes(error.code)) return false;
  const upload = await settled(run, session.upload.id);
  session.received = receivedOf(upload);
  return upload.state === 'open';
}
