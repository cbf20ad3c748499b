import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { ReadableStream as NodeReadableStream } from 'node:stream/web';
import { combineCrc64Nvme } from '../../contract/crc64nvme.ts';
import { DomainError } from '../../contract/errors.ts';
import { MIB, MIN_PART_SIZE_BYTES } from '../../contract/limits.ts';
import type { Clock } from '../ports/clock.ts';
import type {
  MultipartKey,
  ObjectHead,
  ObjectStore,
  PartToSign,
  SignedPartUrl,
  StoredPart,
} from '../ports/object-store.ts';
import { type FileSlice, isMissing, ObjectFiles, type WrittenFile } from './object-files.ts';
import { ObjectUrls } from './object-urls.ts';
import { inTransaction, orBusy } from './open-database.ts';

/**
 * Parts belong to a multipart upload, and stay as they are when it becomes an object, which takes its id: completion
 * copies nothing. An object that was put has one part. A row is what makes a file count.
 */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS object_multiparts (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, content_type TEXT NOT NULL, checksums INTEGER NOT NULL, created_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS object_multiparts_by_key ON object_multiparts (key, id);
  CREATE TABLE IF NOT EXISTS objects (
    key TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, size_bytes INTEGER NOT NULL, content_type TEXT NOT NULL,
    checksum TEXT NOT NULL, modified_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS object_parts (
    owner TEXT NOT NULL, part_number INTEGER NOT NULL, size_bytes INTEGER NOT NULL, checksum TEXT NOT NULL,
    file TEXT NOT NULL UNIQUE, modified_at INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (owner, part_number)
  ) STRICT;
`;

const PAGE_SIZE = 1_000;
/** Keys under a prefix: U+10FFFF, the greatest code point, is no character. */
const UNDER_PREFIX = `key >= :prefix AND key < :prefix || char(0x10ffff)`;
/** How much of a body is hashed at a time: it keeps the thread for about a millisecond. */
const PUT_CHUNK_BYTES = MIB;

interface StoredObject extends ObjectHead {
  readonly id: string;
  readonly etag: string;
}

interface PartRow {
  readonly partNumber: number;
  readonly sizeBytes: number;
  readonly checksum: string;
  readonly file: string;
  readonly modifiedAt: number;
}

type ReceivedPart =
  | { readonly outcome: 'stored'; readonly etag: string; readonly checksumCrc64Nvme: string }
  | { readonly outcome: 'missing' | 'incomplete' | 'bad_digest' | 'checksum_required' };

interface ReconcileReport {
  /** Files that no row names. */
  readonly deletedFiles: number;
  /** Parts of uploads in progress whose file is gone; they count as not sent. */
  readonly lostParts: number;
  /** Objects of which a file is gone; they are kept for the operator to see. */
  readonly damagedKeys: readonly string[];
}

/**
 * Objects as files in `folder`, their records in `database`. It keeps no knowledge in memory, so any number of instances,
 * in worker threads too, may share both. What was acknowledged survives a crash at any moment.
 */
export class FileObjectStore implements ObjectStore {
  readonly urls: ObjectUrls;
  readonly #database: DatabaseSync;
  readonly #files: ObjectFiles;
  readonly #clock: Clock;
  readonly #statements = new Map<string, StatementSync>();

  /** `baseUrl`: under which clients reach `objectsHttpHandler`, without a slash at its end. */
  constructor(options: {
    folder: string;
    database: DatabaseSync;
    baseUrl: string | (() => string);
    signingKey: Uint8Array;
    clock: Clock;
  }) {
    this.#database = options.database;
    this.#files = new ObjectFiles(options.folder);
    this.#clock = options.clock;
    this.urls = new ObjectUrls(options);
    createTables(this.#database);
  }

  async createMultipart({ key, contentType, checksums }: { key: string; contentType: string; checksums: boolean }) {
    assertKey(key);
    const multipartId = this.#clock.newId();
    const createdAt = this.#clock.now().getTime();
    const insert = this.#sql('INSERT INTO object_multiparts VALUES (?, ?, ?, ?, ?)');
    orBusy(() => insert.run(multipartId, key, contentType, Number(checksums), createdAt));
    return { multipartId };
  }

  async signParts(input: {
    key: string;
    multipartId: string;
    expiresInSeconds: number;
    parts: readonly PartToSign[];
  }): Promise<readonly SignedPartUrl[]> {
    const { key, multipartId } = input;
    const expiresAt = this.#expiresAt(input.expiresInSeconds);
    return input.parts.map((part) => ({
      partNumber: part.partNumber,
      url: this.urls.signPart({ key, multipartId, ...part }, expiresAt),
      headers: checksumHeader(part.checksumCrc64Nvme),
      expiresAt,
    }));
  }

  /**
   * Stores a part in place of one that was there before; durable when resolved. Until its row is written, which is the
   * commit point, the bytes are a file that nothing names.
   */
  async receivePart(
    part: MultipartKey & PartToSign,
    body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<ReceivedPart> {
    const upload = this.#findUpload(part);
    if (!upload) return { outcome: 'missing' };
    if (upload.checksums && !part.checksumCrc64Nvme) return { outcome: 'checksum_required' };
    const written = await this.#files.write(body);
    const { checksumCrc64Nvme, sizeBytes } = written;
    return this.#commit(written.name, (): Committed<ReceivedPart> => {
      const refuse = (outcome: 'missing' | 'incomplete' | 'bad_digest') => ({
        result: { outcome },
        unused: [written.name],
      });
      if (sizeBytes !== part.sizeBytes) return refuse('incomplete');
      if (part.checksumCrc64Nvme && part.checksumCrc64Nvme !== checksumCrc64Nvme) return refuse('bad_digest');
      // It may have been aborted or completed while the part arrived.
      if (!this.#findUpload(part)) return refuse('missing');
      const unused = this.#deletePart(part.multipartId, part.partNumber);
      this.#insertPart(part.multipartId, part.partNumber, written);
      return { result: { outcome: 'stored', etag: etagOf(checksumCrc64Nvme), checksumCrc64Nvme }, unused };
    });
  }

  async listParts(input: MultipartKey): Promise<readonly StoredPart[] | undefined> {
    const upload = this.#findUpload(input);
    return (
      upload &&
      this.#parts(input.multipartId).map(({ partNumber, sizeBytes, checksum, modifiedAt }) => ({
        partNumber,
        sizeBytes,
        etag: etagOf(checksum),
        ...(upload.checksums ? { checksumCrc64Nvme: checksum } : {}),
        lastModified: new Date(modifiedAt),
      }))
    );
  }

  async completeMultipart(
    input: MultipartKey & { sizeBytes: number; parts: readonly StoredPart[]; checksumCrc64Nvme?: string },
  ): Promise<'completed' | 'missing' | 'bad_digest' | 'exists'> {
    type Outcome = Committed<'completed' | 'missing' | 'bad_digest' | 'exists'>;
    return this.#commit(undefined, (): Outcome => {
      const upload = this.#findUpload(input);
      if (!upload) return { result: 'missing' };
      const stored = this.#parts(input.multipartId);
      const parts = chooseParts(input.parts, stored);
      if (!parts || totalSize(parts) !== input.sizeBytes) return { result: 'bad_digest' };
      const checksum = combineChecksums(parts);
      if (upload.checksums && input.checksumCrc64Nvme && input.checksumCrc64Nvme !== checksum)
        return { result: 'bad_digest' };
      if (this.find(input.key)) return { result: 'exists' };
      const given = new Set(parts.map((part) => part.partNumber));
      const unused = stored
        .filter((part) => !given.has(part.partNumber))
        .flatMap((part) => this.#deletePart(input.multipartId, part.partNumber));
      this.#deleteUpload(input.multipartId);
      this.#insertObject(input.key, input.multipartId, input.sizeBytes, upload.contentType, checksum);
      return { result: 'completed', unused };
    });
  }

  async abortMultipart(input: MultipartKey): Promise<void> {
    await this.#commit(undefined, () => {
      if (!this.#findUpload(input)) return { result: undefined };
      this.#deleteUpload(input.multipartId);
      return { result: undefined, unused: this.#deleteParts(input.multipartId) };
    });
  }

  async listMultiparts({ prefix, cursor }: { prefix: string; cursor?: string }) {
    const [afterKey, afterId] = cursor ? decodeCursor(cursor) : ['', ''];
    const rows = this.#sql(
      `SELECT key, id, created_at FROM object_multiparts
       WHERE ${UNDER_PREFIX} AND (key, id) > (:afterKey, :afterId) ORDER BY key, id LIMIT ${PAGE_SIZE}`,
    ).all({ prefix, afterKey: afterKey ?? '', afterId: afterId ?? '' });
    const items = rows.map((row) => ({
      key: String(row.key),
      multipartId: String(row.id),
      createdAt: new Date(Number(row.created_at)),
    }));
    return pageOf(items, ({ key, multipartId }) => [key, multipartId]);
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    const object = this.find(key);
    if (!object) return undefined;
    const { sizeBytes, contentType, checksumCrc64Nvme, lastModified } = object;
    return { sizeBytes, contentType, checksumCrc64Nvme, lastModified };
  }

  async read(key: string, range: { start: number; end?: number } = { start: 0 }): Promise<ReadableStream<Uint8Array>> {
    const object = this.find(key);
    if (!object) throw new DomainError('FileNotFoundError', 'no such object', { key });
    const bytes = this.bytesOf(object, range.start, range.end ?? object.sizeBytes);
    return NodeReadableStream.from(bytes) as ReadableStream<Uint8Array>;
  }

  async put(input: { key: string; body: Uint8Array; contentType: string; unlessExists?: boolean }): Promise<boolean> {
    assertKey(input.key);
    const isTaken = () => input.unlessExists === true && this.find(input.key) !== undefined;
    if (isTaken()) return false;
    const written = await this.#files.write(slicesOf(input.body));
    return this.#commit(written.name, () => {
      if (isTaken()) return { result: false, unused: [written.name] };
      const unused = this.#deleteObject(input.key);
      const id = this.#clock.newId();
      this.#insertPart(id, 1, written);
      this.#insertObject(input.key, id, written.sizeBytes, input.contentType, written.checksumCrc64Nvme);
      return { result: true, unused };
    });
  }

  async delete(key: string): Promise<void> {
    await this.#commit(undefined, () => ({ result: undefined, unused: this.#deleteObject(key) }));
  }

  async list({ prefix, cursor }: { prefix: string; cursor?: string }) {
    const [after = ''] = cursor ? decodeCursor(cursor) : [];
    const rows = this.#sql(
      `SELECT key, size_bytes FROM objects WHERE ${UNDER_PREFIX} AND key > :after ORDER BY key LIMIT ${PAGE_SIZE}`,
    ).all({ prefix, after });
    const items = rows.map((row) => ({ key: String(row.key), sizeBytes: Number(row.size_bytes) }));
    return pageOf(items, ({ key }) => [key]);
  }

  async signGet({ key, fileName, expiresInSeconds }: { key: string; fileName: string; expiresInSeconds: number }) {
    const expiresAt = this.#expiresAt(expiresInSeconds);
    return { url: this.urls.signGet({ key, fileName }, expiresAt), expiresAt };
  }

  /** An object as it is now, for `bytesOf`. */
  find(key: string): StoredObject | undefined {
    const row = this.#sql('SELECT * FROM objects WHERE key = ?').get(key);
    return (
      row && {
        id: String(row.id),
        sizeBytes: Number(row.size_bytes),
        contentType: String(row.content_type),
        checksumCrc64Nvme: String(row.checksum),
        etag: etagOf(String(row.checksum)),
        lastModified: new Date(Number(row.modified_at)),
      }
    );
  }

  /** Bytes `start` to `end` (exclusive) of an object that `find` found; throws when it is deleted before they are read. */
  async *bytesOf({ id }: StoredObject, start: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const rows = this.#sql(
      `SELECT file, size_bytes, first FROM (
         SELECT file, size_bytes, sum(size_bytes) OVER (ORDER BY part_number) - size_bytes AS first
         FROM object_parts WHERE owner = :id
       ) WHERE first < :end AND first + size_bytes > :start ORDER BY first`,
    ).all({ id, start, end });
    const slices = rows.map((row): FileSlice => {
      const [first, sizeBytes] = [Number(row.first), Number(row.size_bytes)];
      return { name: String(row.file), start: Math.max(0, start - first), end: Math.min(sizeBytes, end - first) };
    });
    try {
      yield* this.#files.read(slices);
    } catch (error) {
      if (isMissing(error))
        throw new DomainError('FileNotFoundError', 'the object was deleted while it was read', {}, { cause: error });
      throw error;
    }
  }

  /**
   * Puts files and rows in step again after a crash: for the start, before any other use of the folder, as a part that is
   * arriving looks like one that was left over.
   */
  async reconcile(): Promise<ReconcileReport> {
    const damagedKeys = new Set<string>();
    let [deletedFiles, lostParts] = [0, 0];
    for await (const { shard, names } of this.#files.shards()) {
      const missing = new Map(this.#partsInShard(shard).map((part) => [part.file, part]));
      const unnamed = names.filter((name) => !missing.delete(name));
      await this.#files.remove(unnamed);
      deletedFiles += unnamed.length;
      for (const { owner, partNumber } of missing.values()) {
        const object = this.#sql('SELECT key FROM objects WHERE id = ?').get(owner);
        if (object) damagedKeys.add(String(object.key));
        else lostParts += this.#deletePart(owner, partNumber).length;
      }
    }
    return { deletedFiles, lostParts, damagedKeys: [...damagedKeys] };
  }

  /**
   * Runs a transaction and then deletes the files that no row names any more; if it fails, the file written for it.
   * A crash in between leaves them for `reconcile`.
   */
  async #commit<T>(written: string | undefined, run: () => Committed<T>): Promise<T> {
    let unused: readonly string[] = written ? [written] : [];
    try {
      const { result, unused: left = [] } = inTransaction(this.#database, run);
      unused = left;
      return result;
    } finally {
      await this.#files.remove(unused);
    }
  }

  #findUpload({ key, multipartId }: MultipartKey): { contentType: string; checksums: boolean } | undefined {
    const row = this.#sql('SELECT * FROM object_multiparts WHERE id = ? AND key = ?').get(multipartId, key);
    return row && { contentType: String(row.content_type), checksums: row.checksums === 1 };
  }

  #parts(owner: string): PartRow[] {
    return this.#sql('SELECT * FROM object_parts WHERE owner = ? ORDER BY part_number')
      .all(owner)
      .map((row) => ({
        partNumber: Number(row.part_number),
        sizeBytes: Number(row.size_bytes),
        checksum: String(row.checksum),
        file: String(row.file),
        modifiedAt: Number(row.modified_at),
      }));
  }

  #partsInShard(shard: string): { owner: string; partNumber: number; file: string }[] {
    return this.#sql("SELECT owner, part_number, file FROM object_parts WHERE file >= :shard AND file < :shard || 'g'")
      .all({ shard })
      .map((row) => ({ owner: String(row.owner), partNumber: Number(row.part_number), file: String(row.file) }));
  }

  #insertPart(owner: string, partNumber: number, file: WrittenFile) {
    const { name, sizeBytes, checksumCrc64Nvme } = file;
    const insert = this.#sql('INSERT INTO object_parts VALUES (?, ?, ?, ?, ?, ?)');
    insert.run(owner, partNumber, sizeBytes, checksumCrc64Nvme, name, this.#clock.now().getTime());
  }

  #insertObject(key: string, id: string, sizeBytes: number, contentType: string, checksum: string): void {
    const modifiedAt = this.#clock.now().getTime();
    const insert = this.#sql('INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)');
    insert.run(key, id, sizeBytes, contentType, checksum, modifiedAt);
  }

  #deleteUpload(id: string): void {
    this.#sql('DELETE FROM object_multiparts WHERE id = ?').run(id);
  }

  /** Deletes the row of a part, if there is one, and answers its file. */
  #deletePart(owner: string, partNumber: number): string[] {
    return this.#sql('DELETE FROM object_parts WHERE owner = ? AND part_number = ? RETURNING file')
      .all(owner, partNumber)
      .map((row) => String(row.file));
  }

  #deleteParts(owner: string): string[] {
    return this.#sql('DELETE FROM object_parts WHERE owner = ? RETURNING file')
      .all(owner)
      .map((row) => String(row.file));
  }

  /** Deletes an object's rows and answers its files. */
  #deleteObject(key: string): string[] {
    const object = this.#sql('DELETE FROM objects WHERE key = ? RETURNING id').get(key);
    return object ? this.#deleteParts(String(object.id)) : [];
  }

  #expiresAt(seconds: number): Date {
    return new Date(this.#clock.now().getTime() + seconds * 1_000);
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (!statement) {
      statement = this.#database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }
}

/** What a transaction answers, and the files that no row names once it is committed. */
interface Committed<T> {
  readonly result: T;
  readonly unused?: readonly string[];
}

/** The rows of the parts given, or undefined if one is not there as given. Throws, as S3 does, at what no client may send. */
function createTables(database: DatabaseSync): void {
  inTransaction(database, () => {
    database.exec(SCHEMA);
    const columns = database.prepare('PRAGMA table_info(object_parts)').all();
    if (columns.some(({ name }) => name === 'modified_at')) return;
    // Of a data folder whose parts had no time yet.
    database.exec('ALTER TABLE object_parts ADD COLUMN modified_at INTEGER NOT NULL DEFAULT 0');
  });
}

function chooseParts(given: readonly StoredPart[], stored: readonly PartRow[]): PartRow[] | undefined {
  if (given.length === 0) throw refusal('MalformedXML', 'an upload is completed with at least one part');
  if (given.some((part, i) => i > 0 && part.partNumber <= (given[i - 1] as StoredPart).partNumber))
    throw refusal('InvalidPartOrder', 'parts are given in ascending order');
  const byNumber = new Map(stored.map((part) => [part.partNumber, part]));
  const chosen: PartRow[] = [];
  for (const { partNumber, etag, sizeBytes } of given) {
    const part = byNumber.get(partNumber);
    if (!part || etagOf(part.checksum) !== etag || part.sizeBytes !== sizeBytes) return undefined;
    chosen.push(part);
  }
  if (chosen.slice(0, -1).some((part) => part.sizeBytes < MIN_PART_SIZE_BYTES))
    throw refusal('EntityTooSmall', `every part but the last has at least ${MIN_PART_SIZE_BYTES} bytes`);
  return chosen;
}

/** An error with S3's own name for it. */
function refusal(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

function totalSize(parts: readonly PartRow[]): number {
  return parts.reduce((sum, part) => sum + part.sizeBytes, 0);
}

function combineChecksums([first, ...rest]: readonly PartRow[]): string {
  return rest.reduce((whole, part) => combineCrc64Nvme(whole, part.checksum, part.sizeBytes), first?.checksum ?? '');
}

function checksumHeader(checksum: string | undefined): Record<string, string> {
  return checksum ? { 'x-amz-checksum-crc64nvme': checksum } : {};
}

/** Like S3's, opaque; the same bytes have the same one. */
function etagOf(checksum: string): string {
  return `"${checksum}"`;
}

function* slicesOf(body: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < body.length; start += PUT_CHUNK_BYTES)
    yield body.subarray(start, start + PUT_CHUNK_BYTES);
}

/** S3's bounds. */
function assertKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes < 1 || bytes > 1_024 || !key.isWellFormed()) throw new Error('a key is 1–1,024 bytes of UTF-8');
}

function pageOf<T>(items: readonly T[], position: (item: T) => string[]): { items: readonly T[]; cursor?: string } {
  const last = items.at(-1);
  if (!last || items.length < PAGE_SIZE) return { items };
  return { items, cursor: Buffer.from(JSON.stringify(position(last))).toString('base64url') };
}

function decodeCursor(cursor: string): string[] {
  return JSON.parse(Buffer.from(cursor, 'base64url').toString()) as string[];
}
