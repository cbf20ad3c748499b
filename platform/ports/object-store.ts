/**
 * Objects and multipart uploads under S3's rules: parts 1–10,000 of 5 MiB – 5 GiB (the last may be smaller), sent by the
 * client to presigned URLs. Checksums are CRC64NVME, base64 of 8 bytes. Keys are 1–1,024 bytes of UTF-8.
 */
export interface ObjectStore {
  /** `checksums`: every part must be sent with its CRC64NVME in a signed header, and completion verifies the whole. */
  createMultipart(input: { key: string; contentType: string; checksums: boolean }): Promise<{ multipartId: string }>;

  /** Signs method, exact length, checksum (if any) and expiry of each part's URL. */
  signParts(input: {
    key: string;
    multipartId: string;
    expiresInSeconds: number;
    parts: readonly PartToSign[];
  }): Promise<readonly SignedPartUrl[]>;

  /** Every part that has arrived, by part number; undefined if there is no such multipart upload (any more). */
  listParts(input: MultipartKey): Promise<readonly StoredPart[] | undefined>;

  /**
   * Makes the object of the parts given, in ascending order; others are deleted. `missing`: there is no such multipart
   * upload (any more). `exists`: the key is taken. After either the caller asks `head`: an earlier call, whose answer was
   * lost, may have completed it. `bad_digest`: the checksum, the size or a part differs from what is stored; the parts stay.
   * Throws, naming S3's code, at what no planned upload holds: `EntityTooSmall`, `InvalidPartOrder`.
   */
  completeMultipart(
    input: MultipartKey & {
      sizeBytes: number;
      parts: readonly StoredPart[];
      /** Of the whole object; verified by the store if the upload was created with `checksums`. */
      checksumCrc64Nvme?: string;
    },
  ): Promise<'completed' | 'missing' | 'bad_digest' | 'exists'>;

  /** Deletes the parts, those that are arriving included; fine if there is no such multipart upload. */
  abortMultipart(input: MultipartKey): Promise<void>;

  /** Multipart uploads in progress, by key; for sweeps. */
  listMultiparts(input: { prefix: string; cursor?: string }): Promise<{
    items: readonly { key: string; multipartId: string; createdAt: Date }[];
    cursor?: string;
  }>;

  head(key: string): Promise<ObjectHead | undefined>;

  /**
   * Streams bytes `start` to `end` (exclusive; the object's end if left out), none beyond the object's end;
   * `FileNotFoundError` if there is no such object.
   */
  read(key: string, range?: { start: number; end?: number }): Promise<ReadableStream<Uint8Array>>;

  /**
   * Writes an object in one piece, at most 5 GiB; durable when resolved. `unlessExists`: answers false if the key is taken,
   * which after a failure inside may be by this very call.
   */
  put(input: { key: string; body: Uint8Array; contentType: string; unlessExists?: boolean }): Promise<boolean>;

  /** Fine if there is no such object. */
  delete(key: string): Promise<void>;

  /** Keys under a prefix in order of UTF-8 bytes, at most 1,000 a page. */
  list(input: {
    prefix: string;
    cursor?: string;
  }): Promise<{ items: readonly { key: string; sizeBytes: number }[]; cursor?: string }>;

  /** A presigned GET that downloads under `fileName` (made safe for Content-Disposition by the store). */
  signGet(input: {
    key: string;
    fileName: string;
    expiresInSeconds: number;
  }): Promise<{ url: string; expiresAt: Date }>;
}

export interface MultipartKey {
  readonly key: string;
  readonly multipartId: string;
}

export interface PartToSign {
  readonly partNumber: number;
  readonly sizeBytes: number;
  readonly checksumCrc64Nvme?: string;
}

export interface SignedPartUrl {
  readonly partNumber: number;
  readonly url: string;
  /** To be sent exactly so, with a body of exactly the size signed and its Content-Length. */
  readonly headers: Readonly<Record<string, string>>;
  /** Never later than the signing credentials' own end. */
  readonly expiresAt: Date;
}

export interface StoredPart {
  readonly partNumber: number;
  readonly sizeBytes: number;
  readonly etag: string;
  /** There if the upload was created with `checksums`. */
  readonly checksumCrc64Nvme?: string;
  readonly lastModified: Date;
}

export interface ObjectHead {
  readonly sizeBytes: number;
  readonly contentType: string;
  /** Of the whole object; the store computes it for every object. */
  readonly checksumCrc64Nvme: string;
  readonly lastModified: Date;
}
