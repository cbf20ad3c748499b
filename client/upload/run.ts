import type { Api, CallOptions } from '../api.ts';
import type { Gate } from '../pause.ts';
import type { FileIdentity, FileSource, StateStore, Transport } from '../ports.ts';
import type { SignedPart, UploadWithParts } from '../types.ts';
import type { PartSlots } from './part-slots.ts';
import type { ProgressMeter } from './progress.ts';

/** `parts`: every part's checksum is signed into its URL and checked on arrival; `whole`: the whole alone is checked. */
export type Integrity = 'parts' | 'whole';

/** One run of an upload: what its steps share. */
export interface UploadRun {
  readonly api: Api;
  readonly transport: Transport;
  readonly source: FileSource;
  readonly state: StateStore;
  readonly progress: ProgressMeter;
  /** Shared with the other files of the call. */
  readonly slots: PartSlots;
  readonly gate: Gate;
  /** Makes a session this run's own; false if it is another's, of any call of this client that is still going on. */
  readonly claim: (uploadId: string) => boolean;
  /** Told the key of the upload's note, which is deleted when the whole call has ended well. */
  readonly noted: (stateKey: string) => void;
  /** Least size of a part of a file above 1 GiB. */
  readonly largePartBytes: number;
  readonly stallSeconds: number;
  readonly retrySeconds: number;
  /** Aborted by the caller, or when a part of the run has failed. */
  readonly signal: AbortSignal;
  readonly onRetry: CallOptions['onRetry'];
}

/** An open session and what is known of its parts, by part number. */
export interface Session {
  readonly upload: UploadWithParts;
  readonly stateKey: string;
  /** The version of the file that this run reads, if the platform can tell. */
  readonly identity: FileIdentity | undefined;
  /** Parts that the server has, with their checksums if it knows them. */
  received: ReadonlyMap<number, { sizeBytes: number; checksum: string | undefined }>;
  /** Received parts whose checksums the server doesn't know, as with integrity `whole`, are taken for those of this version. */
  trusted: boolean;
  /** Checksums of the file's parts, as far as they are known. */
  readonly checksums: Map<number, string>;
  /** URLs that came with the answer to init. */
  readonly signed: Map<number, SignedPart>;
}

/** How calls of a run are made: repeated for longer than others, for hours of bytes may hang on one. */
export function patiently(run: UploadRun): CallOptions {
  const { signal, retrySeconds, gate, onRetry } = run;
  return { signal, retrySeconds, gate, ...(onRetry && { onRetry }) };
}

/** The parts of a session as the server has them now. */
export function receivedOf(upload: UploadWithParts): Session['received'] {
  return new Map(
    (upload.parts ?? []).map((part) => [
      part.part_number,
      { sizeBytes: part.size_bytes, checksum: part.checksum_crc64nvme },
    ]),
  );
}
