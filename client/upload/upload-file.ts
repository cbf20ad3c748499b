import { MillraceError } from '../errors.ts';
import type { File, UploadWithParts } from '../types.ts';
import { completeSession, settled, takeFile } from './complete.ts';
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

/** Uploads a file from the first byte, or from wherever an earlier run was stopped, to its receipt. */
export async function uploadFile(run: UploadRun, options: UploadFileOptions): Promise<File> {
  const opened = await openSession(run, options);
  const { upload } = 'session' in opened ? opened.session : opened;
  options.onSession?.(upload);
  run.progress.start(upload.part_count);
  const file = 'session' in opened ? await sendOrTake(run, opened.session) : opened.file;
  run.progress.enter('finalizing');
  run.progress.enter('done');
  return file;
}

async function sendOrTake(run: UploadRun, session: Session): Promise<File> {
  const file = await sendAndComplete(run, session).catch(async (error: unknown) => {
    if (!(error instanceof MillraceError) || error.code !== 'UploadNotOpenError') throw error;
    // Somebody else may have completed it, such as another device with the same file.
    const upload = await settled(run, session.upload.id);
    if (upload.state !== 'completed') throw error;
    return takeFile(run, upload);
  });
  await run.state.delete(session.stateKey).catch(() => undefined);
  return file;
}

async function sendAndComplete(run: UploadRun, session: Session): Promise<File> {
  for (let round = 1; ; round++) {
    await sendParts(run, session);
    await checkUnchanged(run, session);
    session.trusted = true;
    await saveSession(run, session, true);
    run.progress.enter('finalizing');
    try {
      return await completeSession(run, session);
    } catch (error) {
      if (round === MAX_ROUNDS || !(await lookAgain(run, session, error))) throw error;
    }
  }
}

/** Parts read from different versions would each arrive intact and still make a file that never was. */
async function checkUnchanged({ source }: UploadRun, { identity }: Session): Promise<void> {
  if (!identity || isSameFile(identity, await source.identity?.())) return;
  throw new MillraceError('FileChangedError', 'the file was changed while it was uploaded; resume sends what differs');
}

/** After a refused completion: what the server has now, and whether sending what differs may mend it. */
async function lookAgain(run: UploadRun, session: Session, error: unknown): Promise<boolean> {
  if (!(error instanceof MillraceError) || !MENDABLE.includes(error.code)) return false;
  const upload = await settled(run, session.upload.id);
  session.received = receivedOf(upload);
  return upload.state === 'open';
}
