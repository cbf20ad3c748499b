import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { FileRef } from '../../contract/jobs.ts';
import type { Conditions, Table } from '../../platform/ports/table.ts';
import type { UploadsApiDeps, UploadsDeps } from './deps.ts';
import { asFile, deletedListPk, dueIndex, type FileRecord, fileKey, fileListPk, readFile } from './records.ts';
import { freeBytes } from './usage.ts';

const DAY_MS = 24 * 3_600_000;

/** For other contexts: a tenant's file and where its bytes are; undefined if there is none, or no more. */
export async function findFile(
  { table }: { table: Table },
  tenantId: TenantId,
  fileId: string,
): Promise<FileRef | undefined> {
  const file = await readFile(table, tenantId, fileId);
  if (!file) return undefined;
  const { file_id, name, content_type, object_key, size_bytes, receipt } = file;
  return { file_id, name, content_type, object_key, size_bytes, checksum_crc64nvme: receipt.checksum_crc64nvme };
}

/** `FileNotFoundError` for another tenant's file as for an unknown one. */
export async function getFile({ table }: UploadsDeps, tenantId: TenantId, fileId: string): Promise<FileRecord> {
  const file = await readFile(table, tenantId, fileId);
  if (!file) throw fileNotFound(fileId);
  return file;
}

/**
 * Hides a file from everybody; it can be restored for some days. `permanent`, or if there are no such days, deletes its
 * bytes: what fails of that is done by the sweep. Fine if it is deleted already.
 */
export async function deleteFile(
  deps: UploadsApiDeps,
  tenantId: TenantId,
  fileId: string,
  { permanent }: { permanent: boolean },
): Promise<void> {
  const file = await readAnyFile(deps, tenantId, fileId);
  const keepMs = permanent ? 0 : deps.deletedFileDays * DAY_MS;
  if (keepMs > 0) {
    if (file.deleted_at !== undefined || (await hide(deps, file, keepMs))) return;
  } else if (await giveUp(deps, file)) {
    await finishDelete(deps, file).catch((error: unknown) =>
      deps.log.error('file not deleted', { tenant_id: tenantId, file_id: fileId, error }),
    );
    return;
  }
  // Another has deleted or restored it meanwhile.
  return deleteFile(deps, tenantId, fileId, { permanent });
}

/** Brings back a deleted file; fine if it isn't deleted. `FileNotFoundError` when its days are over. */
export async function restoreFile(deps: UploadsDeps, tenantId: TenantId, fileId: string): Promise<FileRecord> {
  const file = await readAnyFile(deps, tenantId, fileId);
  if (file.deleted_at === undefined) return file;
  if (!isRestorable(file, deps.clock.now())) throw fileNotFound(fileId);
  await deps.table.write({
    op: 'update',
    key: fileKey(tenantId, fileId),
    if: asRead(file),
    set: { g1pk: fileListPk(tenantId), g1sk: fileId },
    remove: ['deleted_at', 'restorable_until', 'g2pk', 'g2sk'],
  });
  return restoreFile(deps, tenantId, fileId);
}

export function isRestorable({ restorable_until: until }: FileRecord, now: Date): boolean {
  return until !== undefined && Date.parse(until) > now.getTime();
}

/** Deletes the bytes of a deleted file whose days are over, unless it has been restored. */
export async function purgeFile(deps: UploadsDeps, file: FileRecord): Promise<void> {
  if (file.restorable_until === undefined || (await giveUp(deps, file))) await finishDelete(deps, file);
}

async function hide({ table, clock }: UploadsDeps, file: FileRecord, keepMs: number): Promise<boolean> {
  const now = clock.now();
  const until = new Date(now.getTime() + keepMs);
  const hidden = await table.write({
    op: 'update',
    key: fileKey(file.tenant_id, file.file_id),
    if: asRead(file),
    set: {
      deleted_at: now.toISOString(),
      restorable_until: until.toISOString(),
      g1pk: deletedListPk(file.tenant_id),
      g1sk: file.file_id,
      ...dueIndex(file.file_id, until),
    },
  });
  return hidden.ok;
}

/** The commit point of a deletion for good: from here on nobody restores the file. */
async function giveUp({ table, clock }: UploadsDeps, file: FileRecord): Promise<boolean> {
  const now = clock.now();
  const givenUp = await table.write({
    op: 'update',
    key: fileKey(file.tenant_id, file.file_id),
    if: asRead(file),
    set: { deleted_at: file.deleted_at ?? now.toISOString(), ...dueIndex(file.file_id, now) },
    remove: ['restorable_until', 'g1pk', 'g1sk'],
  });
  return givenUp.ok;
}

/** The file is no other than it was read: not deleted, or deleted that time. */
function asRead({ restorable_until: until }: FileRecord): Conditions {
  return until === undefined ? { deleted_at: { absent: true } } : { restorable_until: until };
}

/** The record goes after the bytes: it is what the sweep knows of them. */
async function finishDelete({ table, objects }: UploadsDeps, file: FileRecord): Promise<void> {
  await objects.delete(file.object_key);
  const givenUp: Conditions = { deleted_at: { present: true }, restorable_until: { absent: true } };
  await table.transact([{ op: 'delete', key: fileKey(file.tenant_id, file.file_id), if: givenUp }, freeBytes(file)]);
}

/** Also a deleted one that can be restored. */
async function readAnyFile({ table }: UploadsDeps, tenantId: TenantId, fileId: string): Promise<FileRecord> {
  const item = await table.get(fileKey(tenantId, fileId));
  const file = item && asFile(item);
  if (!file || (file.deleted_at !== undefined && file.restorable_until === undefined)) throw fileNotFound(fileId);
  return file;
}

function fileNotFound(fileId: string): DomainError {
  return new DomainError('FileNotFoundError', `file ${fileId} does not exist`);
}
