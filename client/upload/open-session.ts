import { GIB, MIB } from '../../contract/limits.ts';
import { choosePartSize, countParts, partRange } from '../../contract/part-plan.ts';
import { MillraceError } from '../errors.ts';
import type { FileIdentity, SavedUpload } from '../ports.ts';
import type { File, UploadWithParts } from '../types.ts';
import { notOpen, settled, takeFile } from './complete.ts';
import { fingerprint, hashRange } from './hash.ts';
import { type Integrity, patiently, receivedOf, type Session, type UploadRun } from './run.ts';

/** Fewer, larger parts cost less per byte: above this a part has at least the platform's `largePartBytes`. */
const LARGE_FILE_BYTES = GIB;
/** The first parts are hashed before init, which then signs them in the same call: as many, but for these bytes at most. */
const FIRST_PARTS = 4;
const FIRST_BYTES = 64 * MIB;

export interface SessionOptions {
  readonly name: string;
  /** Tells the file from others of the same bytes, where the platform can't. */
  readonly path: string;
  readonly contentType: string | undefined;
  readonly integrity: Integrity;
  readonly partSizeBytes: number | undefined;
  /** Goes on with this session and no other. */
  readonly uploadId: string | undefined;
  /** Goes on with an open session of the same file, wherever it was begun. */
  readonly resume: boolean;
}

/** A session to send parts to, or the file of one that was completed before. */
export type Opened = { readonly session: Session } | { readonly upload: UploadWithParts; readonly file: File };

/** Finds the session to go on with, by its id, this device's notes or the server's fingerprints, or opens a new one. */
export async function openSession(run: UploadRun, options: SessionOptions): Promise<Opened> {
  const print = await fingerprint(run.source, run.signal);
  const identity = await run.source.identity?.();
  const stateKey = `${print}@${run.api.url}#${identity?.path ?? options.path}`;
  run.noted(stateKey);
  const saved = await run.state.get(stateKey).catch(() => undefined);
  const known = options.uploadId ?? (options.resume ? saved?.uploadId : undefined);
  const checksum = known && isSameVersion(saved, known, identity) ? saved?.checksumCrc64Nvme : undefined;
  const resumed = known ? await findSession(run, options, known, checksum) : undefined;
  if (resumed?.file) return { upload: resumed.upload, file: resumed.file };
  const { upload, signed, checksums } = resumed
    ? { upload: resumed.upload, signed: [], checksums: new Map<number, string>() }
    : await initSession(run, options, print);
  const session: Session = {
    upload,
    stateKey,
    identity,
    received: receivedOf(upload),
    trusted: isSameVersion(saved, upload.id, identity),
    checksums,
    signed: new Map(signed.map((part) => [part.part_number, part])),
  };
  // What has arrived is of an unknown version until it is compared: no identity is noted before that.
  const vouched = session.trusted || session.received.size === 0;
  await saveSession(run, session, vouched);
  return { session };
}

/** Keeps a note of the session; losing it only costs hashing, so a folder that can't be written stops no upload. */
export async function saveSession(
  run: UploadRun,
  { upload, stateKey, identity }: Session,
  vouched: boolean,
  checksumCrc64Nvme?: string,
): Promise<void> {
  const saved = {
    uploadId: upload.id,
    ...(vouched && identity && { identity }),
    ...(checksumCrc64Nvme && { checksumCrc64Nvme }),
  };
  await run.state.set(stateKey, saved).catch(() => undefined);
}

export function isSameFile(a: FileIdentity | undefined, b: FileIdentity | undefined): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    a.path === b.path &&
    a.inode === b.inode &&
    a.sizeBytes === b.sizeBytes &&
    a.modifiedNs === b.modifiedNs
  );
}

function isSameVersion(saved: SavedUpload | undefined, uploadId: string, identity: FileIdentity | undefined): boolean {
  return saved?.uploadId === uploadId && isSameFile(saved.identity, identity);
}

/** The session with this id if it is of use for this file, whose checksum may be known; one that the caller named must be. */
async function findSession(
  run: UploadRun,
  options: SessionOptions,
  uploadId: string,
  checksum: string | undefined,
): Promise<{ upload: UploadWithParts; file?: File } | undefined> {
  const named = options.uploadId !== undefined;
  try {
    const upload = await settled(run, uploadId);
    checkSize(run, upload);
    if (!named && !claim(upload, run, options)) return undefined;
    if (upload.state === 'open') return { upload };
    if (upload.state === 'completed') return { upload, file: await takeFile(run, upload, checksum) };
    if (named) throw notOpen(upload);
    return undefined;
  } catch (error) {
    const ofNoUse = error instanceof MillraceError && NO_USE.includes(error.code);
    if (ofNoUse && !named) return undefined;
    throw error;
  }
}

const NO_USE = ['UploadNotFoundError', 'FileNotFoundError', 'FileChangedError'];

function checkSize({ source }: UploadRun, upload: UploadWithParts): void {
  if (upload.size_bytes === source.sizeBytes) return;
  const message = `the upload expects ${upload.size_bytes} bytes, but the file has ${source.sizeBytes}`;
  throw new MillraceError('FileChangedError', message);
}

async function initSession(run: UploadRun, options: SessionOptions, print: string) {
  const { source } = run;
  const size = source.sizeBytes;
  const partSize = options.partSizeBytes ?? (size > LARGE_FILE_BYTES ? largePartSize(run) : undefined);
  const plannedSize = partSize ?? choosePartSize(size);
  const checksums = await hashFirstParts(run, plannedSize);
  const parts = Array.from(checksums, ([part_number, checksum]) => ({
    part_number,
    ...(options.integrity === 'parts' && { checksum_crc64nvme: checksum }),
  }));
  const contentType = options.contentType ?? source.contentType;
  const body = {
    name: options.name,
    size_bytes: size,
    integrity: options.integrity,
    fingerprint: print,
    ...(contentType && { content_type: contentType }),
    ...(partSize && { part_size_bytes: partSize }),
    ...(parts.length > 0 && { parts }),
  };
  // Nothing is lost yet: a server that can't be reached is told of soon.
  const { retrySeconds: _, ...calling } = patiently(run);
  const init = (resume: boolean) =>
    run.api.call('initUpload', { body: { ...body, resume } }, { ...calling, idempotencyKey: crypto.randomUUID() });
  let answer = await init(options.resume);
  if (!claim(answer.upload, run, options)) {
    answer = await init(false);
    run.claim(answer.upload.id);
  }
  const { upload, parts: signed } = answer;
  const hasParts = upload.progress.received_parts > 0;
  const asPlanned = upload.part_size_bytes === plannedSize;
  return {
    upload: hasParts ? await settled(run, upload.id) : upload,
    signed: asPlanned && !hasParts ? signed : [],
    checksums: asPlanned ? checksums : new Map<number, string>(),
  };
}

/** The checksums of the file's first parts, by part number; none of an empty file, which the server refuses. */
async function hashFirstParts({ source, signal }: UploadRun, partSize: number): Promise<Map<number, string>> {
  const size = source.sizeBytes;
  const count = Math.min(FIRST_PARTS, Math.max(1, Math.floor(FIRST_BYTES / partSize)), countParts(size, partSize));
  const checksums = new Map<number, string>();
  for (let partNumber = 1; partNumber <= count; partNumber++) {
    const { start, end } = partRange(size, partSize, partNumber);
    checksums.set(partNumber, await hashRange(source, start, end, signal));
  }
  return checksums;
}

/**
 * The same bytes under another name, of another type, or sent in another way, are another upload; and so are equal files
 * that are sent at the same time, such as those of two folders.
 */
function claim(upload: UploadWithParts, run: UploadRun, options: SessionOptions): boolean {
  const contentType = options.contentType ?? run.source.contentType;
  return (
    upload.name === options.name &&
    upload.integrity === options.integrity &&
    (contentType === undefined || upload.content_type === contentType) &&
    run.claim(upload.id)
  );
}

function largePartSize({ source, largePartBytes }: UploadRun): number {
  return Math.max(largePartBytes, choosePartSize(source.sizeBytes));
}
