import { ENDED_SESSION_SECONDS } from '../contract/limits.ts';
import type { FileIdentity, SavedUpload } from './ports.ts';

/** Notes from before then are of no use: the server has forgotten such a session, too. */
export function oldestOfUse(): number {
  return Date.now() - ENDED_SESSION_SECONDS * 1_000;
}

/** A note as it was stored, without what else lies with it; undefined if it is not one. */
export function parseSaved(value: unknown): SavedUpload | undefined {
  if (!isRecord(value) || value.version !== 1 || typeof value.uploadId !== 'string') return undefined;
  const { uploadId, identity, checksumCrc64Nvme } = value;
  return {
    uploadId,
    ...(isIdentity(identity) && { identity }),
    ...(typeof checksumCrc64Nvme === 'string' && { checksumCrc64Nvme }),
  };
}

function isIdentity(value: unknown): value is FileIdentity {
  return (
    isRecord(value) &&
    typeof value.path === 'string' &&
    typeof value.inode === 'string' &&
    typeof value.sizeBytes === 'number' &&
    typeof value.modifiedNs === 'string'
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
