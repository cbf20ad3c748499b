import { isDeepStrictEqual } from 'node:util';
import type * as z from 'zod/mini';
import type { FileId, TenantId, UploadId } from '../../contract/common.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { DELETED_FILE_DAYS } from '../../contract/limits.ts';
import { partRange } from '../../contract/part-plan.ts';
import { type Operation, routes } from '../../contract/routes.ts';
import { Quotas, type SignedPart, type Upload } from '../../contract/uploads.ts';
import type { Caller, Handlers, Reply } from '../../lambdas/runtime/api.ts';
import { createLog } from '../../lambdas/runtime/log.ts';
import { createUploadsHandlers, type UploadsApiDeps } from '../../lambdas/uploads/handlers.ts';
import { asFile, asUpload, type FileRecord, type UploadRecord, usageKey } from '../../lambdas/uploads/records.ts';
import { sweepUploads } from '../../lambdas/uploads/sweep.ts';
import { changesTableOf, SqliteTable } from '../../platform/embedded/sqlite-table.ts';
import type { Item } from '../../platform/ports/table.ts';
import { FaultyPorts } from './faulty-ports.ts';
import { createTestObjectStore } from './object-stores.ts';
import { TestClock } from './test-clock.ts';

export const tenant = 'acme' as TenantId;
export const otherTenant = 'zeta' as TenantId;

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

interface Input {
  readonly params?: object;
  readonly query?: object;
  readonly headers?: object;
  readonly body?: object;
  readonly hasBodyBytes?: boolean;
}

/** The uploads context on the embedded platform, with time and faults in the test's hand. */
export async function openUploadsWorld({
  quotas = {},
  ...options
}: {
  patienceMs?: number;
  deletedFileDays?: number;
  quotas?: Partial<Quotas>;
} = {}) {
  const clock = new TestClock();
  const { store, database, close } = await createTestObjectStore({ clock });
  // No test here cuts the power.
  database.exec('PRAGMA synchronous = OFF');
  const table = new SqliteTable({ database, name: 'uploads', changes: true });
  const logged: { level: string; message: string }[] = [];
  const ports = new FaultyPorts();

  const deps: UploadsApiDeps = {
    table: ports.wrap(table),
    objects: ports.wrap(store),
    clock,
    log: createLog({}, (text) => logged.push(JSON.parse(text))),
    quotas: Quotas.parse(quotas),
    deletedFileDays: DELETED_FILE_DAYS,
    ...options,
  };
  const handlers = createUploadsHandlers(deps);

  /** Calls an operation with an input that its contract takes, and demands an answer that its contract describes. */
  async function call<O extends keyof Handlers<'uploads'> & Operation>(
    operation: O,
    input: Input = {},
    tenantId = tenant,
  ): Promise<Reply<O> & { body: NonNullable<Reply<O>['body']> }> {
    const caller: Caller = { tenantId, principalId: 'test', role: 'editor', scopes: [], root: false };
    const route = routes[operation];
    const request = {
      params: route.params.parse(input.params ?? {}),
      query: route.query.parse(input.query ?? {}),
      headers: route.headers.parse(input.headers ?? {}),
      body: route.hasBody ? route.body.parse(input.body ?? {}) : undefined,
      caller,
      requestId: 'r',
      hasBodyBytes: input.hasBodyBytes ?? false,
    };
    const handle = handlers[operation] as unknown as (request: unknown) => Promise<Reply<O>>;
    const reply = await handle(request);
    checkReply(operation, reply);
    return reply as Reply<O> & { body: NonNullable<Reply<O>['body']> };
  }

  async function init(body: Record<string, unknown> = {}, headers: object = {}, tenantId = tenant) {
    return (await call('initUpload', { headers, body: { name: 'a.bin', size_bytes: 10, ...body } }, tenantId)).body;
  }

  /** Sends bytes as a client does: signed by the API, to the URL that it gives. */
  async function sendPart(upload: Upload, partNumber: number, bytes: Uint8Array, tenantId = tenant): Promise<Response> {
    const checksum = upload.integrity === 'parts' ? { checksum_crc64nvme: await crc64Nvme(bytes) } : {};
    const parts = [{ part_number: partNumber, ...checksum }];
    const { body } = await call('signParts', { params: { upload_id: upload.id }, body: { parts } }, tenantId);
    return put(body.parts[0] as SignedPart, bytes);
  }

  async function sendAll(upload: Upload, bytes: Uint8Array, tenantId = tenant): Promise<void> {
    for (let partNumber = 1; partNumber <= upload.part_count; partNumber += 1) {
      const { start, end } = partRange(bytes.length, upload.part_size_bytes, partNumber);
      const { status } = await sendPart(upload, partNumber, bytes.subarray(start, end), tenantId);
      if (status !== 200) throw new Error(`part ${partNumber}: ${status}`);
    }
  }

  const complete = (uploadId: UploadId, body: object = {}, tenantId = tenant) =>
    call('completeUpload', { params: { upload_id: uploadId }, body }, tenantId);

  const allItems = (sk: string): Item[] =>
    database
      .prepare('SELECT body FROM table_uploads WHERE sk = ? ORDER BY pk')
      .all(sk)
      .map((row) => JSON.parse(String(row.body)));
  const uploads = (): UploadRecord[] => allItems('UPLOAD').map(asUpload);
  const files = (): FileRecord[] => allItems('FILE').map(asFile);

  function checkUsage(): void {
    for (const tenantId of [tenant, otherTenant]) {
      const sessions = allItems('UPLOAD').filter(({ tenant_id }) => tenant_id === tenantId);
      const inProgress = sessions.filter(({ state }) => state === 'open' || state === 'completing');
      const uncleaned = sessions.filter(({ state, g2pk }) => state !== 'completed' && g2pk !== undefined);
      const own = files().filter(({ tenant_id }) => tenant_id === tenantId);
      const counted = allItems('USAGE').find(({ pk }) => pk === usageKey(tenantId).pk);
      // Their records may be gone by the time that nothing is asked of the day.
      const isLongAgo = clock.now().getTime() - Date.parse(String(counted?.day)) > 30 * DAY_MS;
      const today = sessions.filter(({ created_at }) => String(created_at).startsWith(String(counted?.day)));
      const size = (items: readonly object[]) => items.reduce((sum, item) => sum + (item as FileRecord).size_bytes, 0);
      const summed = {
        stored_bytes: size(own) + size(uncleaned),
        reserved_bytes: size(inProgress),
        open_sessions: inProgress.length,
        day_bytes: isLongAgo ? counted?.day_bytes : size(today),
      };
      const kept = Object.fromEntries(Object.keys(summed).map((name) => [name, counted?.[name] ?? 0]));
      if (!isDeepStrictEqual(kept, summed)) {
        throw new Error(`counted: ${JSON.stringify(kept)}, summed: ${JSON.stringify(summed)}`);
      }
      const { stored_bytes, open_sessions, bytes_per_day } = deps.quotas;
      if (summed.stored_bytes > stored_bytes || summed.open_sessions > open_sessions || size(today) > bytes_per_day) {
        throw new Error(`more than the quotas: ${JSON.stringify(summed)}`);
      }
    }
  }

  const world = {
    deps,
    database,
    clock,
    table,
    store,
    logged,
    call,
    init,
    sendPart,
    sendAll,
    complete,
    uploads,
    files,

    /** Every change of state that a session has gone through, as `open completing`. */
    moves(): string[] {
      const states = `json_extract(before, '$.state') || ' ' || json_extract(after, '$.state') AS move`;
      const changes = `SELECT ${states} FROM ${changesTableOf('uploads')} WHERE json_extract(after, '$.sk') = 'UPLOAD'`;
      const moves = database.prepare(changes).all();
      return moves.map(({ move }) => String(move ?? 'created')).filter((move) => new Set(move.split(' ')).size === 2);
    },

    /** A session whose parts have all arrived. */
    async sent(bytes: Uint8Array, body: Record<string, unknown> = {}, tenantId = tenant): Promise<Upload> {
      const { upload } = await init({ size_bytes: bytes.length, ...body }, {}, tenantId);
      await sendAll(upload, bytes, tenantId);
      return upload;
    },

    async file(bytes: Uint8Array, body: Record<string, unknown> = {}, tenantId = tenant): Promise<FileId> {
      const upload = await world.sent(bytes, body, tenantId);
      const { body: answer } = await complete(upload.id, {}, tenantId);
      if (!('file' in answer)) throw new Error('the file is not there yet');
      return answer.file.id;
    },

    withFaults: ports.withFaults,
    idle: ports.idle,

    async sweep() {
      const { orphaned: _, ...done } = await sweepUploads(deps);
      return done;
    },

    /** Deletes what has expired, as DynamoDB does by itself. */
    purge: () => table.purgeExpired(clock.now()),

    async state(uploadId: UploadId, tenantId = tenant) {
      return (await call('getUpload', { params: { upload_id: uploadId } }, tenantId)).body.state;
    },

    async bytesOf(fileId: FileId, tenantId = tenant): Promise<Buffer> {
      const { body } = await call('downloadFile', { params: { file_id: fileId } }, tenantId);
      const response = await fetch(body.url);
      if (!response.ok) throw new Error(`download: ${response.status}`);
      return Buffer.from(await response.arrayBuffer());
    },

    async stored() {
      const objects = (await store.list({ prefix: '' })).items.map(({ key }) => key);
      const multiparts = (await store.listMultiparts({ prefix: '' })).items.map(({ key }) => key);
      return { objects, multiparts };
    },

    /**
     * What holds at every moment: a file has its bytes, as its receipt says, and a completed session its one file; what
     * tenants use is the sum over what there is, and within their quotas.
     */
    async check(): Promise<void> {
      checkUsage();
      const kept = new Map(files().map((file) => [file.file_id, file]));
      for (const file of kept.values()) {
        const isGivenUp = file.deleted_at !== undefined && file.restorable_until === undefined;
        const head = await store.head(file.object_key);
        if (!isGivenUp && head?.checksumCrc64Nvme !== file.receipt.checksum_crc64nvme) {
          throw new Error(`${file.file_id} has not the bytes of its receipt`);
        }
        const session = uploads().find(({ upload_id }) => upload_id === file.upload_id);
        // The session's record goes some time after its end.
        if (session && session.state !== 'completed')
          throw new Error(`${file.file_id} is of a session that is ${session.state}`);
      }
    },

    /** What holds at last, when all that is due was done: nothing is kept that no session in progress or file needs. */
    async checkClean(): Promise<void> {
      for (let run = 0; run < 3; run += 1) {
        clock.advance(HOUR_MS + MINUTE_MS);
        await world.sweep();
      }
      await world.check();
      const open = uploads().filter(({ state }) => state === 'open' || state === 'completing');
      const quarantined = uploads().filter(
        ({ error, expires_at }) =>
          error?.code === 'ContentMismatchError' && Date.parse(expires_at) > clock.now().getTime(),
      );
      const keys = (records: readonly { object_key: string }[]) => records.map(({ object_key }) => object_key).sort();
      const needed = { objects: keys([...files(), ...quarantined]), multiparts: keys(open) };
      const kept = await world.stored();
      if (!isDeepStrictEqual(kept, needed)) {
        throw new Error(`kept: ${JSON.stringify(kept)}, needed: ${JSON.stringify(needed)}`);
      }
    },

    close,
  };
  return world;
}

export type UploadsWorld = Awaited<ReturnType<typeof openUploadsWorld>>;

/** Sends a part's bytes to its URL, as the contract says. */
export function put(part: SignedPart, bytes: Uint8Array): Promise<Response> {
  return fetch(part.url, { method: 'PUT', headers: part.headers, body: bytes as BodyInit });
}

/** Bytes of text, the same for the same seed. */
export function someBytes(sizeBytes: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, index) => 97 + ((index * 7 + seed * 13) % 26));
}

/** What the contract doesn't describe is not answered. */
function checkReply(operation: Operation, { status, body }: { status: number; body?: unknown }): void {
  const responses: Readonly<Record<number, z.ZodMiniType | null>> = routes[operation].responses;
  const sent: unknown = JSON.parse(JSON.stringify(body ?? null));
  const schema = responses[status];
  if (schema === undefined) throw new Error(`${operation} answers ${status}, which its contract doesn't list`);
  if (!isDeepStrictEqual(schema?.parse(sent) ?? null, sent)) {
    throw new Error(`${operation} answers otherwise than its contract`);
  }
}
