import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  type Part,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { backoffMs } from '../../contract/backoff.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { DomainError } from '../../contract/errors.ts';
import { attachment } from '../ports/content-disposition.ts';
import type {
  MultipartKey,
  ObjectHead,
  ObjectStore,
  PartToSign,
  SignedPartUrl,
  StoredPart,
} from '../ports/object-store.ts';
import { isConnectionFailure } from './outage.ts';
import type { S3Presigner } from './s3-presign.ts';

/** Failures of S3 itself, as the SDK names them; it has tried three times by then. `Unknown`: a HEAD has no body to tell. */
const SERVER_FAULTS = ['InternalError', 'ServiceUnavailable', 'SlowDown', 'Unknown'];
const MAX_TRIES = 5;
const BACKOFF = { firstMs: 400, longestMs: 3_200 };
/** Each round deletes what had arrived by then; a part in flight ends sooner or later. */
const MAX_ABORTS = 5;

/**
 * A client as this store needs it: without the CRC32 that the SDK adds by default, as our checksum is another, and with
 * `ServiceBusyError` for failures of S3, or on the way to it, that outlast the SDK's own tries.
 */
/** Objects for who signs no URLs. Engines with an endpoint of their own have buckets in the path. */
export function openS3Objects({ bucket, publicEndpoint }: { bucket: string; publicEndpoint: string | undefined }) {
  return new S3ObjectStore({ client: createS3Client({ forcePathStyle: publicEndpoint !== undefined }), bucket });
}

export function createS3Client(config: S3ClientConfig = {}): S3Client {
  const client = new S3Client({
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // A completion may take minutes, a connection may not.
    requestHandler: { connectionTimeout: 2_000 },
    ...config,
  });
  client.middlewareStack.add(
    (next) => async (args) => {
      try {
        return await next(args);
      } catch (error) {
        const failed = error instanceof S3ServiceException && (error.$metadata.httpStatusCode ?? 0) >= 500;
        throw (failed && isNamed(error, ...SERVER_FAULTS)) || isConnectionFailure(error) ? busy(error) : error;
      }
    },
    { step: 'initialize', name: 'serviceBusy' },
  );
  return client;
}

/** Objects in an S3 bucket. `client` is made by `createS3Client`; without a `presigner`, URLs can't be signed. */
export class S3ObjectStore implements ObjectStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #presigner: S3Presigner | undefined;

  constructor(options: { client: S3Client; bucket: string; presigner?: S3Presigner }) {
    this.#client = options.client;
    this.#bucket = options.bucket;
    this.#presigner = options.presigner;
  }

  async createMultipart({ key, contentType, checksums }: { key: string; contentType: string; checksums: boolean }) {
    const { UploadId } = await this.#client.send(
      new CreateMultipartUploadCommand({
        ...this.#object(key),
        ContentType: contentType,
        ...(checksums ? { ChecksumAlgorithm: 'CRC64NVME', ChecksumType: 'FULL_OBJECT' } : {}),
      }),
    );
    if (!UploadId) throw new Error('CreateMultipartUpload answered without an upload id');
    return { multipartId: UploadId };
  }

  async signParts(input: {
    key: string;
    multipartId: string;
    expiresInSeconds: number;
    parts: readonly PartToSign[];
  }): Promise<readonly SignedPartUrl[]> {
    const requests = input.parts.map(({ partNumber, sizeBytes, checksumCrc64Nvme }) => ({
      method: 'PUT' as const,
      key: input.key,
      query: { 'x-id': 'UploadPart', partNumber: String(partNumber), uploadId: input.multipartId },
      headers: { 'content-length': String(sizeBytes), ...checksumHeader(checksumCrc64Nvme) },
    }));
    const { urls, expiresAt } = await this.#signer().sign(requests, input.expiresInSeconds);
    return input.parts.map(({ partNumber, checksumCrc64Nvme }, i) => ({
      partNumber,
      url: urls[i] as string,
      headers: checksumHeader(checksumCrc64Nvme),
      expiresAt,
    }));
  }

  async listParts({ key, multipartId }: MultipartKey): Promise<readonly StoredPart[] | undefined> {
    const parts: StoredPart[] = [];
    let marker: string | undefined;
    try {
      do {
        const page = await this.#client.send(
          new ListPartsCommand({ ...this.#object(key), UploadId: multipartId, PartNumberMarker: marker }),
        );
        parts.push(...(page.Parts ?? []).map(toStoredPart));
        marker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
      } while (marker);
    } catch (error) {
      if (isNamed(error, 'NoSuchUpload')) return undefined;
      throw error;
    }
    return parts;
  }

  async completeMultipart(
    input: MultipartKey & { sizeBytes: number; parts: readonly StoredPart[]; checksumCrc64Nvme?: string },
  ): Promise<'completed' | 'missing' | 'bad_digest' | 'exists'> {
    if (input.parts.reduce((sum, part) => sum + part.sizeBytes, 0) !== input.sizeBytes) return 'bad_digest';
    // S3 refuses a checksum if the upload was created without; its parts list none then.
    const checksums = input.parts.some((part) => part.checksumCrc64Nvme);
    const command = new CompleteMultipartUploadCommand({
      ...this.#object(input.key),
      UploadId: input.multipartId,
      IfNoneMatch: '*',
      MpuObjectSize: input.sizeBytes,
      ...(checksums ? { ChecksumType: 'FULL_OBJECT', ChecksumCRC64NVME: input.checksumCrc64Nvme } : {}),
      MultipartUpload: {
        Parts: input.parts.map((part) => ({
          PartNumber: part.partNumber,
          ETag: part.etag,
          ChecksumCRC64NVME: part.checksumCrc64Nvme,
        })),
      },
    });
    try {
      await retryingConflicts(() => this.#client.send(command));
      return 'completed';
    } catch (error) {
      if (isNamed(error, 'NoSuchUpload')) return 'missing';
      if (isNamed(error, 'PreconditionFailed')) return 'exists';
      if (isNamed(error, 'BadDigest', 'InvalidPart')) return 'bad_digest';
      throw error;
    }
  }

  async abortMultipart({ key, multipartId }: MultipartKey): Promise<void> {
    for (let round = 1; round <= MAX_ABORTS; round += 1) {
      try {
        await this.#client.send(new AbortMultipartUploadCommand({ ...this.#object(key), UploadId: multipartId }));
      } catch (error) {
        if (!isNamed(error, 'NoSuchUpload')) throw error;
      }
      const parts = await this.listParts({ key, multipartId });
      if (!parts?.length) return;
      await sleep(backoffMs(round, BACKOFF));
    }
    throw new DomainError('ServiceBusyError', 'parts of the aborted upload are still arriving');
  }

  async listMultiparts({ prefix, cursor }: { prefix: string; cursor?: string }) {
    const [key, id] = cursor ? (JSON.parse(Buffer.from(cursor, 'base64url').toString()) as string[]) : [];
    const page = await this.#client.send(
      new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: prefix, KeyMarker: key, UploadIdMarker: id }),
    );
    const items = (page.Uploads ?? []).map((upload) => ({
      key: upload.Key ?? '',
      multipartId: upload.UploadId ?? '',
      createdAt: upload.Initiated ?? new Date(0),
    }));
    if (!page.IsTruncated) return { items };
    const next = Buffer.from(JSON.stringify([page.NextKeyMarker, page.NextUploadIdMarker]));
    return { items, cursor: next.toString('base64url') };
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    try {
      const head = await this.#client.send(new HeadObjectCommand({ ...this.#object(key), ChecksumMode: 'ENABLED' }));
      if (!head.ChecksumCRC64NVME || !head.LastModified) throw new Error(`object ${key} has no CRC64NVME`);
      return {
        sizeBytes: head.ContentLength ?? 0,
        contentType: head.ContentType ?? 'application/octet-stream',
        checksumCrc64Nvme: head.ChecksumCRC64NVME,
        lastModified: head.LastModified,
      };
    } catch (error) {
      if (isNamed(error, 'NotFound', 'NoSuchKey')) return undefined;
      throw error;
    }
  }

  async read(key: string, { start, end }: { start: number; end?: number } = { start: 0 }) {
    // S3 has no empty ranges: it would answer with the whole object.
    const empty = end !== undefined && end <= start;
    const range = start === 0 && end === undefined ? undefined : `bytes=${start}-${end === undefined ? '' : end - 1}`;
    try {
      if (empty) {
        await this.#client.send(new HeadObjectCommand(this.#object(key)));
        return emptyStream();
      }
      const { Body } = await this.#client.send(new GetObjectCommand({ ...this.#object(key), Range: range }));
      return Body ? busyWhenCut(Body.transformToWebStream()) : emptyStream();
    } catch (error) {
      if (isNamed(error, 'InvalidRange')) return emptyStream();
      if (isNamed(error, 'NoSuchKey', 'NotFound'))
        throw new DomainError('FileNotFoundError', 'no such object', { key }, { cause: error });
      throw error;
    }
  }

  async put(input: { key: string; body: Uint8Array; contentType: string; unlessExists?: boolean }): Promise<boolean> {
    const command = new PutObjectCommand({
      ...this.#object(input.key),
      Body: input.body,
      ContentType: input.contentType,
      // S3 compares it with what arrived, and keeps it.
      ChecksumCRC64NVME: await crc64Nvme(input.body),
      ...(input.unlessExists ? { IfNoneMatch: '*' } : {}),
    });
    try {
      await retryingConflicts(() => this.#client.send(command));
      return true;
    } catch (error) {
      if (isNamed(error, 'PreconditionFailed')) return false;
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand(this.#object(key)));
  }

  async list({ prefix, cursor }: { prefix: string; cursor?: string }) {
    const page = await this.#client.send(
      new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: prefix, ContinuationToken: cursor }),
    );
    const items = (page.Contents ?? []).map((object) => ({ key: object.Key ?? '', sizeBytes: object.Size ?? 0 }));
    return { items, ...(page.NextContinuationToken ? { cursor: page.NextContinuationToken } : {}) };
  }

  async signGet({ key, fileName, expiresInSeconds }: { key: string; fileName: string; expiresInSeconds: number }) {
    const query = { 'x-id': 'GetObject', 'response-content-disposition': attachment(fileName) };
    const { urls, expiresAt } = await this.#signer().sign(
      [{ method: 'GET', key, query, headers: {} }],
      expiresInSeconds,
    );
    return { url: urls[0] as string, expiresAt };
  }

  #object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: key };
  }

  #signer(): S3Presigner {
    if (!this.#presigner) throw new Error('this object store was made without a presigner');
    return this.#presigner;
  }
}

/** Tries again what met another conditional write of the same key: five times in all, with pauses of up to 6 s. */
async function retryingConflicts<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (!isNamed(error, 'ConditionalRequestConflict')) throw error;
      if (tries === MAX_TRIES) throw busy(error);
      await sleep(backoffMs(tries, BACKOFF));
    }
  }
}

function busy(cause: unknown): DomainError {
  return new DomainError('ServiceBusyError', 'the object store is busy', {}, { cause });
}

function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}

function toStoredPart(part: Part): StoredPart {
  return {
    partNumber: part.PartNumber ?? 0,
    sizeBytes: part.Size ?? 0,
    etag: part.ETag ?? '',
    ...(part.ChecksumCRC64NVME ? { checksumCrc64Nvme: part.ChecksumCRC64NVME } : {}),
    lastModified: part.LastModified ?? new Date(0),
  };
}

function checksumHeader(checksum: string | undefined): Record<string, string> {
  return checksum ? { 'x-amz-checksum-crc64nvme': checksum } : {};
}

/** The same bytes; the SDK repeats nothing once an answer has begun. */
function busyWhenCut(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        throw isConnectionFailure(error) ? busy(error) : error;
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

function emptyStream(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}
