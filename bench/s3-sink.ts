import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SNIFFED_BYTES } from '../lambdas/uploads/sniff.ts';

// Speaks as much of S3 as multipart uploads need, checks nothing and keeps no bytes but the first: what sending to it costs
// is the sender's. Tells its endpoint to the process that forked it.

interface Part {
  readonly sizeBytes: number;
  readonly checksum: string | undefined;
}
interface Stored {
  readonly sizeBytes: number;
  readonly checksum: string;
  readonly head: Buffer;
}

const uploads = new Map<string, { head: Buffer; parts: Map<number, Part> }>();
const objects = new Map<string, Stored>();
const XML = { 'content-type': 'application/xml' };

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://sink');
  const [, bucket = '', ...rest] = pathname.split('/');
  const key = rest.join('/');
  const uploadId = searchParams.get('uploadId');
  const upload = uploads.get(uploadId ?? '');
  const xml = (name: string, content: string) =>
    res.writeHead(200, XML).end(`<?xml version="1.0" encoding="UTF-8"?><${name}>${content}</${name}>`);
  const { head, sizeBytes } = await discard(req);

  if (req.method === 'POST' && searchParams.has('uploads')) {
    const id = crypto.randomUUID();
    uploads.set(id, { head: Buffer.alloc(0), parts: new Map() });
    const name = `<Bucket>${bucket}</Bucket><Key>${key}</Key><UploadId>${id}</UploadId>`;
    return void xml('InitiateMultipartUploadResult', name);
  }
  if (uploadId && !upload) {
    return void res.writeHead(404, XML).end('<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>');
  }
  if (upload && req.method === 'PUT') {
    const partNumber = Number(searchParams.get('partNumber'));
    if (partNumber === 1) upload.head = head;
    upload.parts.set(partNumber, { sizeBytes, checksum: headerOf(req, 'x-amz-checksum-crc64nvme') });
    return void res.writeHead(200, { etag: `"${partNumber}"` }).end();
  }
  if (upload && uploadId && req.method === 'POST') {
    const total = [...upload.parts.values()].reduce((sum, part) => sum + part.sizeBytes, 0);
    const checksum = headerOf(req, 'x-amz-checksum-crc64nvme') ?? 'AAAAAAAAAAA=';
    objects.set(pathname, { sizeBytes: total, checksum, head: upload.head });
    uploads.delete(uploadId);
    return void xml('CompleteMultipartUploadResult', `<Key>${key}</Key><ETag>"sink"</ETag>`);
  }
  if (upload && uploadId && req.method === 'DELETE') {
    uploads.delete(uploadId);
    return void res.writeHead(204).end();
  }
  if (upload)
    return void xml('ListPartsResult', `<IsTruncated>false</IsTruncated>${[...upload.parts].map(partXml).join('')}`);
  if (req.method === 'GET' && key === '') {
    const found = [...objects].filter(([path]) => path.startsWith(`/${bucket}/`));
    const contents = found.map(
      ([path, { sizeBytes }]) =>
        `<Contents><Key>${path.slice(bucket.length + 2)}</Key><Size>${sizeBytes}</Size></Contents>`,
    );
    return void xml('ListBucketResult', `<IsTruncated>false</IsTruncated>${contents.join('')}`);
  }
  if (req.method === 'DELETE') {
    objects.delete(pathname);
    return void res.writeHead(204).end();
  }
  answerObject(req, res, objects.get(pathname));
}

function answerObject(req: IncomingMessage, res: ServerResponse, object: Stored | undefined): void {
  if (req.method === 'PUT') return void res.writeHead(200, { etag: '"sink"' }).end();
  if (!object) return void res.writeHead(404).end();
  const headers = { 'last-modified': new Date().toUTCString(), 'x-amz-checksum-crc64nvme': object.checksum };
  if (req.method === 'HEAD') return void res.writeHead(200, { ...headers, 'content-length': object.sizeBytes }).end();
  res.writeHead(206, { ...headers, 'content-length': object.head.length }).end(object.head);
}

function partXml([partNumber, { sizeBytes, checksum }]: readonly [number, Part]): string {
  const crc = checksum ? `<ChecksumCRC64NVME>${checksum}</ChecksumCRC64NVME>` : '';
  return `<Part><PartNumber>${partNumber}</PartNumber><Size>${sizeBytes}</Size><ETag>"${partNumber}"</ETag>${crc}</Part>`;
}

function headerOf(req: IncomingMessage, name: string): string | undefined {
  return req.headers[name]?.toString();
}

function discard(req: IncomingMessage): Promise<{ head: Buffer; sizeBytes: number }> {
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    let sizeBytes = 0;
    req.on('data', (chunk: Buffer) => {
      if (sizeBytes < SNIFFED_BYTES) head = Buffer.concat([head, chunk.subarray(0, SNIFFED_BYTES - sizeBytes)]);
      sizeBytes += chunk.length;
    });
    req.on('end', () => resolve({ head, sizeBytes })).on('error', reject);
  });
}

const server = createServer((req, res) => {
  handle(req, res).catch(() => res.destroy());
}).on('checkContinue', (req, res) => {
  res.writeContinue();
  server.emit('request', req, res);
});
server.listen(0, '127.0.0.1', () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.once('disconnect', () => process.exit());
