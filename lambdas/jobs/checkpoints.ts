import { createHash } from 'node:crypto';
import { DomainError } from '../../contract/errors.ts';
import { KIB, MAX_CHECKPOINT_BYTES, MIB } from '../../contract/limits.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import { readObject } from '../../platform/ports/read-object.ts';
import type { Value } from '../../platform/ports/table.ts';
import type { TaskDeps } from './guard-run.ts';
import type { CheckpointRecord, StoredCheckpoint } from './records.ts';

/** Kept in the ledger; every renewal of a lease is billed by the size of its row, so larger ones are objects. */
const MAX_LEDGER_BYTES = 8 * KIB;

interface Options {
  /** Object keys begin so. */
  readonly prefix: string;
  /** What the run's claim found in the ledger. */
  readonly found: CheckpointRecord | undefined;
  /** Commits it to the ledger, unless another runner has taken over. */
  readonly keep: (checkpoint: CheckpointRecord) => Promise<void>;
}

export interface Checkpoints {
  save(value: Value): Promise<void>;
  last(): Promise<Value | undefined>;
  /** To be called when the ledger holds none any more. */
  clear(): Promise<void>;
}

/** The checkpoint of one task: the last value that a run of it has saved. */
export function openCheckpoints({ objects, clock, log }: TaskDeps, { prefix, found, keep }: Options): Checkpoints {
  let kept = found;

  /** One that is left over takes up room and nothing else. */
  const drop = async (checkpoint: CheckpointRecord | undefined) => {
    if (!checkpoint || !('object_key' in checkpoint)) return;
    const { object_key } = checkpoint;
    await objects
      .delete(object_key)
      .catch((error: unknown) => log.warn('checkpoint not deleted', { object_key, error }));
  };

  return {
    async save(value) {
      const text = JSON.stringify(value);
      const small = Buffer.byteLength(text) <= MAX_LEDGER_BYTES;
      // A new key each time: another runner may still read the one before.
      const next = small ? { json: text } : await storeCheckpoint(objects, `${prefix}${clock.newId()}`, text);
      // The commit point. When it fails, either may be the one that counts, so neither is deleted.
      await keep(next);
      const before = kept;
      kept = next;
      await drop(before);
    },

    async last() {
      if (!kept) return undefined;
      return 'json' in kept ? (JSON.parse(kept.json) as Value) : readCheckpoint({ objects, log }, kept);
    },

    clear: () => drop(kept),
  };
}

/** Stores a value's JSON; whoever commits its record to the ledger makes it count. */
export async function storeCheckpoint(
  objects: ObjectStore,
  object_key: string,
  text: string,
): Promise<StoredCheckpoint & { readonly size_bytes: number }> {
  const body = Buffer.from(text);
  if (body.byteLength > MAX_CHECKPOINT_BYTES) {
    const message = `the checkpoint has ${body.byteLength} bytes; at most ${MAX_CHECKPOINT_BYTES / MIB} MiB are allowed: store large data in scratch objects and their keys in the checkpoint`;
    throw new DomainError('InternalError', message);
  }
  await objects.put({ key: object_key, body, contentType: 'application/json' });
  return { object_key, sha256: sha256(body), size_bytes: body.byteLength };
}

/** Undefined if it is damaged or gone: then who asks begins anew, as it may without any. */
export async function readCheckpoint(
  { objects, log }: Pick<TaskDeps, 'objects' | 'log'>,
  { object_key, sha256: wanted }: StoredCheckpoint,
): Promise<Value | undefined> {
  const bytes = await readObject(objects, object_key).catch((error: unknown) => {
    if (error instanceof DomainError && error.code === 'FileNotFoundError') return undefined;
    throw error;
  });
  if (bytes && sha256(bytes) === wanted) return JSON.parse(bytes.toString()) as Value;
  log.error('checkpoint is corrupt', { object_key });
  return undefined;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
