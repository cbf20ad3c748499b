import type { PauseSource } from './pause.ts';

/** Bytes of a file: a Blob, or chunks of which each is valid until the next is asked for. */
export type FileBytes = Blob | AsyncIterable<Uint8Array>;

/** Tells one version of a file on disk from another. */
export interface FileIdentity {
  readonly path: string;
  readonly inode: string;
  readonly sizeBytes: number;
  /** Modification time in nanoseconds. */
  readonly modifiedNs: string;
}

/** A file that was found among those to upload; it is opened when its turn comes. */
export interface FoundFile {
  /** As the caller names it, or its folder: `photos/2026/a.jpg`. */
  readonly path: string;
  /** 0 if it cannot be told. */
  readonly sizeBytes: number;
  readonly open: () => Promise<FileSource>;
}

/** A file that can be read any number of times, also by several readers at once. */
export interface FileSource {
  readonly name: string;
  readonly sizeBytes: number;
  /** Told from what the platform knows, such as a browser's `File.type`; undefined if it knows none. */
  readonly contentType?: string;
  /** Bytes `start` to `end` (exclusive). Reading fails with `FileUnreadableError` or, if it is too short now, `FileChangedError`. */
  read(start: number, end: number): FileBytes;
  /**
   * The CRC64NVME of such bytes, in base64, on another thread than the caller's; without it, or where it answers with
   * undefined, they are read and hashed here.
   */
  hash?(start: number, end: number, signal: AbortSignal | undefined): Promise<string | undefined>;
  /** As the file is now; without it changes during the upload go unnoticed, and finished files are hashed at a repeat. */
  identity?(): Promise<FileIdentity>;
  close(): Promise<void>;
}

export interface PartRequest {
  readonly url: string;
  /** To be sent exactly so, with the exact Content-Length. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: FileBytes;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  /** Without a byte in either direction for so long, the attempt fails with `NetworkError`. */
  readonly stallSeconds: number;
  /** Bytes of this attempt handed to the network so far. */
  readonly onBytes: (sent: number) => void;
}

export interface PartAnswer {
  readonly status: number;
  /** The object store's error document; empty for a success. */
  readonly text: string;
  readonly retryAfter?: string | null;
}

/** Sends the bytes of a part. */
export interface Transport {
  /** Any answer resolves; a connection that fails rejects with `NetworkError`, an aborted signal with `AbortedError`. */
  putPart(request: PartRequest): Promise<PartAnswer>;
}

/** What is kept of an upload until the call that it belongs to has ended well: to go on where that was stopped. */
export interface SavedUpload {
  readonly uploadId: string;
  /** The version of the file that this device has sent; absent when others had sent parts before. */
  readonly identity?: FileIdentity;
  /** The CRC64NVME of that version, in base64, once every part of it was sent. */
  readonly checksumCrc64Nvme?: string;
}

/**
 * Keeps the uploads of this device whose calls have not ended well, by server, fingerprint and path, for 30 days. Losing a
 * note costs a look at the server, or has a finished file of a folder sent once more.
 */
export interface StateStore {
  get(key: string): Promise<SavedUpload | undefined>;
  set(key: string, saved: SavedUpload): Promise<void>;
  delete(key: string): Promise<void>;
}

/** What a platform can bear, and what suits it. */
export interface TransferLimits {
  /** Parts sent at the same time, when that adapts. */
  readonly maxConcurrency: number;
  /** Of the parts sent at the same time, when their number adapts. */
  readonly maxBytesInFlight: number;
  /** The least size of a part of a file above 1 GiB. */
  readonly largePartBytes: number;
}

/** What differs between Node and the browser. */
export interface Platform<Source> {
  /** Fails with `FileUnreadableError`. */
  openSource(source: Source): Promise<FileSource>;
  /** The file itself, or the files of a folder and of those in it. What cannot be read fails when it is opened. */
  findFiles(source: Source): Promise<FoundFile[]>;
  readonly limits: TransferLimits;
  /** Paused while the device is offline, where that can be told. */
  readonly offline?: PauseSource;
  readonly transport: Transport;
  readonly state: StateStore;
}
