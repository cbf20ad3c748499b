import type { File, ListedUpload, Upload, UploadWithParts, Usage } from '../../contract/uploads.ts';
import type { StoredPart } from '../../platform/ports/object-store.ts';
import type { IdleUpload } from './idle.ts';
import { partCount } from './parts.ts';
import type { FileRecord, UploadRecord } from './records.ts';
import type { TenantUsage } from './usage.ts';

/** What the API shows of a session. */
export function uploadView(upload: UploadRecord): Upload {
  const { upload_id, state, name, size_bytes, content_type, integrity, part_size_bytes, fingerprint } = upload;
  const { created_at, expires_at, completed_at, file_id, error } = upload;
  return {
    id: upload_id,
    state,
    name,
    size_bytes,
    content_type,
    integrity,
    part_size_bytes,
    part_count: partCount(upload),
    fingerprint,
    created_at,
    expires_at,
    completed_at,
    file_id,
    error,
  };
}

export function idleView({ upload, lastActivity, receivedBytes }: IdleUpload): ListedUpload {
  return { ...uploadView(upload), last_activity_at: lastActivity.toISOString(), received_bytes: receivedBytes };
}

export function uploadWithProgress(
  upload: UploadRecord,
  progress: UploadWithParts['progress'],
  parts?: readonly StoredPart[],
): UploadWithParts {
  const received = parts?.map(({ partNumber, sizeBytes, checksumCrc64Nvme }) => ({
    part_number: partNumber,
    size_bytes: sizeBytes,
    ...(checksumCrc64Nvme ? { checksum_crc64nvme: checksumCrc64Nvme } : {}),
  }));
  return { ...uploadView(upload), progress, ...(received ? { parts: received } : {}) };
}

export function fileView(file: FileRecord): File {
  const { file_id, upload_id, name, size_bytes, content_type, created_at, receipt } = file;
  const { deleted_at, restorable_until } = file;
  return {
    id: file_id,
    upload_id,
    name,
    size_bytes,
    content_type,
    created_at,
    receipt,
    deleted_at,
    restorable_until,
  };
}

export function usageView({ usage, quotas, resetsAt }: TenantUsage): Usage {
  const { stored_bytes, reserved_bytes, day_bytes, open_sessions } = usage;
  return {
    stored_bytes: { used: stored_bytes, reserved: reserved_bytes, limit: quotas.stored_bytes },
    bytes_per_day: { used: day_bytes, limit: quotas.bytes_per_day, resets_at: resetsAt.toISOString() },
    open_sessions: { used: open_sessions, limit: quotas.open_sessions },
  };
}
