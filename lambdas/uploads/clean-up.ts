import { ENDED_SESSION_SECONDS } from '../../contract/limits.ts';
import { ttlAfter } from '../../platform/ports/ttl.ts';
import type { UploadsDeps } from './deps.ts';
import { multipartOf, type UploadRecord, uploadKey } from './records.ts';
import { freeBytes } from './usage.ts';

/**
 * Deletes what a session that ended without a file has left in the object store. Safe to repeat; the sweep does so until
 * it has worked.
 */
export async function cleanUp({ table, objects, clock }: UploadsDeps, upload: UploadRecord): Promise<void> {
  // In this order: a completion that is still under way either finds no parts, or has made the object by now.
  await objects.abortMultipart(multipartOf(upload));
  await objects.delete(upload.object_key);
  // Whoever takes it out of the index frees its bytes: once.
  await table.transact([
    {
      op: 'update',
      key: uploadKey(upload.tenant_id, upload.upload_id),
      if: { state: upload.state, g2pk: { present: true } },
      set: { ttl: ttlAfter(clock.now(), ENDED_SESSION_SECONDS) },
      remove: ['g2pk', 'g2sk'],
    },
    freeBytes(upload),
  ]);
}

/** `cleanUp` where the caller has got what it asked for already: what fails now is done by the sweep. */
export async function tryCleanUp(deps: UploadsDeps, upload: UploadRecord): Promise<void> {
  const { tenant_id, upload_id } = upload;
  await cleanUp(deps, upload).catch((error: unknown) =>
    deps.log.error('upload not cleaned up', { tenant_id, upload_id, error }),
  );
}
