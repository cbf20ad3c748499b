import type { TenantId } from '../../contract/common.ts';
import { DomainError } from '../../contract/errors.ts';
import type { FileRef } from '../../contract/jobs.ts';
import type { Table } from '../../platform/ports/table.ts';
import type { UploadsDeps } from './deps.ts';
import { dueIndex, type FileRecord, fileKey, readFile } from './records.ts';
import { freeBytes } from './usage.ts';

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

/** Ends a file: from the first write on nobody finds it. What fails after that is done by the sweep. */
export async function deleteFile(deps: UploadsDeps, tenantId: TenantId, fileId: string): Promise<void> {
  const file = await getFile(deps, tenantId, fileId);
  const now = deps.clock.now();
  const marked = await deps.table.write({
    op: 'update',
    key: fileKey(tenantId, fileId),
    if: { deleted_at: { absent: true } },
    set: { deleted_at: now.toISOString(), ...dueIndex(fileId, now) },
    remove: ['g1pk', 'g1sk'],
  });
  if (!marked.ok) throw fileNotFound(fileId);
  await finishDelete(deps, file).catch((error: unknown) =>
    deps.log.error('file not deleted', { tenant_id: tenantId, file_id: fileId, error }),
  );
}

/** Deletes the bytes of a file that is marked so, then its record: the record is what the sweep knows of the bytes. */
export async function finishDelete({ table, objects }: UploadsDeps, file: FileRecord): Promise<void> {
  await objects.delete(file.object_key);
  await table.transact([
    { op: 'delete', key: fileKey(file.tenant_id, file.file_id), if: { deleted_at: { present: true } } },
    freeBytes(file),
  ]);
}

function fileNotFound(fileId: string): DomainError {
  return new DomainError('FileNotFoundError', `there is no file ${fileId}`);
}
