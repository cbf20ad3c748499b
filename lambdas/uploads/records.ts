import { type FileId, TenantId, UploadId } from '../../contract/common.ts';
import type { File, Integrity, UploadState } from '../../contract/uploads.ts';
import type { MultipartKey } from '../../platform/ports/object-store.ts';
import type { Item, Key, Table } from '../../platform/ports/table.ts';

/** A session, as it is kept. After its creation it is written by transitions only. */
export type UploadRecord = {
  readonly tenant_id: TenantId;
  readonly upload_id: UploadId;
  readonly state: UploadState;
  readonly name: string;
  readonly size_bytes: number;
  readonly content_type: string;
  readonly integrity: Integrity;
  readonly part_size_bytes: number;
  readonly fingerprint?: string;
  readonly object_key: string;
  readonly multipart_id: string;
  readonly created_at: string;
  readonly expires_at: string;
  /** Times that it went from `open` to `completing`: what was meant for one of them does nothing to a later one. */
  readonly completions: number;
  readonly completing_at?: string;
  /** Tells the parts that this completion is about from parts that came in their place later. */
  readonly parts_digest?: string;
  /** Of the whole, as the parts or the caller say: the object must have it. */
  readonly expected_checksum?: string;
  readonly completed_at?: string;
  readonly rejected_at?: string;
  readonly file_id?: FileId;
  readonly error?: { readonly code: string; readonly message: string };
  /** Epoch seconds: from then on it is as if it had never been. Set when there is nothing left to do for it. */
  readonly ttl?: number;
};

/** A completed upload, as it is kept. */
export type FileRecord = {
  readonly tenant_id: TenantId;
  readonly file_id: FileId;
  readonly upload_id: UploadId;
  readonly name: string;
  readonly size_bytes: number;
  readonly content_type: string;
  readonly created_at: string;
  readonly object_key: string;
  readonly receipt: File['receipt'];
  /** It is gone for everybody, until it is restored. */
  readonly deleted_at?: string;
  /** Without it a deleted file can't be restored any more: its bytes are being deleted. */
  readonly restorable_until?: string;
};

export const UPLOAD_SK = 'UPLOAD';
const FILE_SK = 'FILE';

export const uploadKey = (tenantId: TenantId, uploadId: string): Key => ({
  pk: `T#${tenantId}#U#${uploadId}`,
  sk: UPLOAD_SK,
});
export const fileKey = (tenantId: TenantId, fileId: string): Key => ({ pk: `T#${tenantId}#F#${fileId}`, sk: FILE_SK });
/** The newest session of a fingerprint. */
export const fingerprintKey = (tenantId: TenantId, fingerprint: string): Key => ({
  pk: `T#${tenantId}#P#${fingerprint}`,
  sk: 'FINGERPRINT',
});
/** What a tenant uses of its quotas. */
export const usageKey = (tenantId: TenantId): Key => ({ pk: `T#${tenantId}`, sk: 'USAGE' });
/** A tenant's own quotas, which operators write. */
export const quotasKey = (tenantId: TenantId): Key => ({ pk: `T#${tenantId}`, sk: 'QUOTAS' });
/** How far the search for orphaned multipart uploads is. */
export const ORPHANS_KEY: Key = { pk: 'SWEEP', sk: 'ORPHANS' };

/** A tenant's sessions, and its files, by id, which is by time of creation. */
export const uploadListPk = (tenantId: TenantId) => `T#${tenantId}#UPLOADS`;
export const fileListPk = (tenantId: TenantId) => `T#${tenantId}#FILES`;
export const deletedListPk = (tenantId: TenantId) => `T#${tenantId}#DELETED`;

export const DUE_SHARDS = 8;
export const duePk = (shard: number) => `DUE#${shard}`;

/** Puts a session or a file into the index of those that the sweep looks at; the last characters of a ULID are random. */
export function dueIndex(id: string, due: Date): { g2pk: string; g2sk: string } {
  const time = String(due.getTime()).padStart(15, '0');
  return { g2pk: duePk(id.charCodeAt(id.length - 1) % DUE_SHARDS), g2sk: `${time}#${id}` };
}

export function isDue({ g2sk }: Item, now: Date): boolean {
  return typeof g2sk === 'string' && Number(g2sk.slice(0, 15)) <= now.getTime();
}

/** Whether a session's record is there only because expired items are deleted some time later. */
export function isForgotten({ ttl }: UploadRecord, now: Date): boolean {
  return ttl !== undefined && ttl * 1_000 <= now.getTime();
}

/** The file of an upload has its ULID. */
export const fileIdOf = (uploadId: UploadId) => uploadId.replace(/^upl_/, 'file_') as FileId;

export const objectKeyOf = (tenantId: TenantId, uploadId: UploadId) => `tenant/${tenantId}/uploads/${uploadId}`;

/** Whose bytes an object's key is for; undefined for keys that are not of this context. */
export function parseObjectKey(key: string): { tenantId: TenantId; uploadId: UploadId } | undefined {
  const match = /^tenant\/([^/]+)\/uploads\/([^/]+)$/.exec(key);
  const tenantId = TenantId.safeParse(match?.[1]);
  const uploadId = UploadId.safeParse(match?.[2]);
  return tenantId.success && uploadId.success ? { tenantId: tenantId.data, uploadId: uploadId.data } : undefined;
}

export const multipartOf = (upload: UploadRecord): MultipartKey => ({
  key: upload.object_key,
  multipartId: upload.multipart_id,
});

export const asUpload = (item: Item) => item as unknown as UploadRecord;
export const asFile = (item: Item) => item as unknown as FileRecord;

export async function readUpload(
  table: Table,
  tenantId: TenantId,
  uploadId: string,
): Promise<UploadRecord | undefined> {
  const item = await table.get(uploadKey(tenantId, uploadId));
  return item && asUpload(item);
}

/** Undefined also for a file that is deleted. */
export async function readFile(table: Table, tenantId: TenantId, fileId: string): Promise<FileRecord | undefined> {
  const item = await table.get(fileKey(tenantId, fileId));
  return item && item.deleted_at === undefined ? asFile(item) : undefined;
}
