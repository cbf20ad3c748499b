import { createHash } from 'node:crypto';
import { DomainError } from '../../contract/errors.ts';
import { KIB, MAX_CHECKPOINT_BYTES, MIB } from '../../contract/limits.ts';
import type { ObjectStore } from '../../platform/ports/object-store.ts';
import type { Value } from '../../platform/ports/table.ts';
import type { TaskDeps } from './guard-run.ts';
import type { CheckpointRecord } from './records.ts';

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

  const store = async (bytes: Buffer): Promise<CheckpointRecord> => {
    // A new key each time: another runner may still read the one before.
    const object_key = `${prefix}${clock.newId()}`;
    await objects.put({ key: object_key, body: bytes, contentType: 'application/json' });
    return { object_key, sha256: sha256(bytes) };
  };

  return {
    async save(value) {
      const text = JSON.stringify(value);
      const bytes = Buffer.from(text);
      if (bytes.byteLength > MAX_CHECKPOINT_BYTES) {
        const message = `a checkpoint has ${bytes.byteLength} bytes; ${MAX_CHECKPOINT_BYTES / MIB} MiB are allowed: keep large data in scratch objects, and their keys in the checkpoint`;
        throw new DomainError('InternalError', message);
      }
      const next = bytes.byteLength <= MAX_LEDGER_BYTES ? { json: text } : await store(bytes);
      // The commit point. When it fails, either may be the one that counts, so neither is deleted.
      await keep(next);
      const before = kept;
      kept = next;
      await drop(before);
    },

    async last() {
      if (!kept) return undefined;
      if ('json' in kept) return JSON.parse(kept.json) as Value;
      const { object_key } = kept;
      const bytes = await readObject(objects, object_key).catch((error: unknown) => {
        if (error instanceof DomainError && error.code === 'FileNotFoundError') return undefined;
        throw error;
      });
      if (bytes && sha256(bytes) === kept.sha256) return JSON.parse(bytes.toString()) as Value;
      // The task begins anew, as it may without any.
      log.error('checkpoint is damaged', { object_key });
      return undefined;
    },

    clear: () => drop(kept),
  };
}

async function readObject(objects: ObjectStore, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await objects.read(key)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
