import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { STSClient } from '@aws-sdk/client-sts';
import { afterEach, describe, expect, it } from 'vitest';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { createS3Client, S3ObjectStore } from '../../platform/aws/s3-object-store.ts';
import { assumedRoleCredentials, type CredentialsProvider, S3Presigner } from '../../platform/aws/s3-presign.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { createS3TestObjectStore } from '../support/object-stores.ts';

const localstack = process.env.LOCALSTACK_ENDPOINT;
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
const region = 'us-east-1';

interface Answer {
  readonly status: number;
  readonly code?: string;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

type Answering = (response: ServerResponse) => void;

/** A store over an S3 that gives these answers in turn, the last one for ever, and counts the requests. */
async function storeOver(answers: readonly (Answer | Answering)[]) {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(requests.push(`${request.method} ${request.url}`), answers.length) - 1];
    if (answer === undefined || typeof answer === 'function') return answer?.(response);
    const error = `<?xml version="1.0"?><Error><Code>${answer.code}</Code><Message>m</Message></Error>`;
    const done = '<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>';
    request.resume().on('end', () => {
      response.writeHead(answer.status, { 'content-type': 'application/xml' });
      // S3 keeps a long completion's connection alive with spaces before its answer.
      if (answer.status === 200) response.write(' \n ');
      response.end(answer.code ? error : done);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = createS3Client({ endpoint, region, credentials, forcePathStyle: true });
  const close = () => new Promise((resolve) => server.close(resolve));
  return { store: new S3ObjectStore({ client, bucket: 'b' }), requests, close };
}

const completion = {
  key: 'k',
  multipartId: 'u',
  sizeBytes: 1,
  parts: [{ partNumber: 1, sizeBytes: 1, etag: '"e"', lastModified: new Date() }],
};

describe('the S3 object store, when S3 fails', () => {
  it.each<[string, Answer[], string]>([
    ['an error after 200', [{ status: 200, code: 'InternalError' }, { status: 200 }], 'completed'],
    ['a rival write', [{ status: 409, code: 'ConditionalRequestConflict' }, { status: 200 }], 'completed'],
    ['a rival that won', [{ status: 412, code: 'PreconditionFailed' }], 'exists'],
    ['no upload', [{ status: 404, code: 'NoSuchUpload' }], 'missing'],
    ['no upload, told after 200', [{ status: 200, code: 'NoSuchUpload' }], 'missing'],
    ['another checksum', [{ status: 400, code: 'BadDigest' }], 'bad_digest'],
    ['another part', [{ status: 400, code: 'InvalidPart' }], 'bad_digest'],
    [
      'a lost answer',
      [
        { status: 500, code: 'InternalError' },
        { status: 404, code: 'NoSuchUpload' },
      ],
      'missing',
    ],
  ])('completes through %s', async (_name, answers, outcome) => {
    const { store } = await storeOver(answers);
    expect(await store.completeMultipart(completion)).toBe(outcome);
  });

  it.each<[string, Answer]>([
    ['errors after 200', { status: 200, code: 'InternalError' }],
    ['throttling', { status: 503, code: 'SlowDown' }],
    ['rival writes without end', { status: 409, code: 'ConditionalRequestConflict' }],
  ])('is busy after %s, and does not try for ever', async (_name, answer) => {
    const { store, requests } = await storeOver([answer]);
    await expect(store.completeMultipart(completion)).rejects.toMatchObject({ code: 'ServiceBusyError' });
    expect(requests.length).toBeGreaterThan(2);
    expect(requests.length).toBeLessThan(6);
  });

  it('is busy, and knows nothing else, when a HEAD fails', async () => {
    const { store } = await storeOver([{ status: 503 }]);
    await expect(store.head('k')).rejects.toMatchObject({ code: 'ServiceBusyError' });
  });

  it('is busy when its connections are cut, or nothing listens', async () => {
    const { store, close } = await storeOver([(response) => response.destroy()]);
    await expect(store.head('k')).rejects.toMatchObject({ code: 'ServiceBusyError' });
    await expect(store.listParts(completion)).rejects.toMatchObject({ code: 'ServiceBusyError' });
    await close();
    const creation = { key: 'k', contentType: 'text/csv', checksums: true };
    await expect(store.createMultipart(creation)).rejects.toMatchObject({ code: 'ServiceBusyError' });
  });

  it('is busy when an object is cut while it is read', async () => {
    const { store } = await storeOver([
      (response) => {
        response.writeHead(200, { 'content-length': 1_000_000 }).write(Buffer.alloc(70_000), () => response.destroy());
      },
    ]);
    const read = async () => {
      for await (const _ of await store.read('k'));
    };
    await expect(read()).rejects.toMatchObject({ code: 'ServiceBusyError' });
  });

  it('passes on what is a defect', async () => {
    const { store, requests } = await storeOver([{ status: 403, code: 'AccessDenied' }]);
    await expect(store.completeMultipart(completion)).rejects.toMatchObject({ name: 'AccessDenied' });
    expect(requests).toHaveLength(1);
  });

  it('asks nothing of S3 when the parts are not as long as the object', async () => {
    const { store, requests } = await storeOver([{ status: 200 }]);
    expect(await store.completeMultipart({ ...completion, sizeBytes: 2 })).toBe('bad_digest');
    expect(requests).toEqual([]);
  });
});

describe('URLs that the S3 object store signs', () => {
  const at = new Date('2026-01-01T00:00:00.700Z');
  const clock = { now: () => at, newId: () => '' };

  function presigner(
    provider: CredentialsProvider,
    options: { publicEndpoint?: string; forcePathStyle?: boolean } = {},
  ) {
    const { forcePathStyle = false, ...rest } = options;
    const client = createS3Client({ region: 'eu-central-1', credentials, forcePathStyle });
    return new S3Presigner({ client, bucket: 'bucket', credentials: provider, clock, ...rest });
  }
  const request = {
    method: 'PUT' as const,
    key: 'a/b c',
    query: { partNumber: '1', uploadId: 'u/+=' },
    headers: { 'content-length': '5', 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=' },
  };

  it('name the bucket in the host, and sign the length and checksum as headers', async () => {
    const { urls } = await presigner(async () => credentials).sign([request], 60);
    const url = new URL(urls[0] as string);
    expect(url.origin + url.pathname).toBe('https://bucket.s3.eu-central-1.amazonaws.com/a/b%20c');
    expect(url.searchParams.get('uploadId')).toBe('u/+=');
    expect(url.searchParams.get('X-Amz-SignedHeaders')).toBe('content-length;host;x-amz-checksum-crc64nvme');
    expect([...url.searchParams.keys()].filter((name) => /checksum/i.test(name))).toEqual([]);
  });

  it('name the endpoint that clients reach', async () => {
    const options = { publicEndpoint: 'http://127.0.0.1:4566', forcePathStyle: true };
    const { urls } = await presigner(async () => credentials, options).sign([request], 60);
    expect(urls[0]).toMatch(/^http:\/\/127\.0\.0\.1:4566\/bucket\/a\/b%20c\?/);
  });

  it('end when they were asked to, or with the credentials that signed them', async () => {
    const lasting = await presigner(async () => credentials).sign([request], 60);
    expect(lasting.expiresAt).toEqual(new Date('2026-01-01T00:01:00Z'));
    const expiration = new Date('2026-01-01T00:00:30Z');
    const ending = await presigner(async () => ({ ...credentials, expiration })).sign([request], 60);
    expect(ending.expiresAt).toEqual(expiration);
    expect(new URL(ending.urls[0] as string).searchParams.get('X-Amz-Expires')).toBe('30');
  });

  it('are refused to a store without a presigner', async () => {
    const store = new S3ObjectStore({ client: createS3Client({ region, credentials }), bucket: 'b' });
    await expect(store.signGet({ key: 'k', fileName: 'f', expiresInSeconds: 1 })).rejects.toThrow(/presigner/);
  });
});

describe('credentials of an assumed role', () => {
  /** An STS whose credentials last an hour and are numbered; `fail` makes it fail. */
  function assumeAt(clock: { time: number; fail: boolean }) {
    let count = 0;
    const stsClient = new STSClient({ region, credentials });
    stsClient.middlewareStack.add(
      () => async () => {
        if (clock.fail) throw new Error('STS is away');
        count++;
        const Expiration = new Date(clock.time + 3_600_000);
        const Credentials = { AccessKeyId: `key-${count}`, SecretAccessKey: 's', SessionToken: 't', Expiration };
        return { output: { $metadata: {}, Credentials }, response: {} };
      },
      { step: 'initialize' },
    );
    const now = () => new Date(clock.time);
    return assumedRoleCredentials({ stsClient, roleArn: 'arn:aws:iam::1:role/r', clock: { now, newId: () => '' } });
  }

  it('are assumed once until half of their time has passed, whoever asks meanwhile', async () => {
    const clock = { time: 0, fail: false };
    const provide = assumeAt(clock);
    const ids = async () => (await Promise.all([provide(), provide()])).map(({ accessKeyId }) => accessKeyId);
    expect(await ids()).toEqual(['key-1', 'key-1']);
    clock.time = 29 * 60_000;
    expect(await ids()).toEqual(['key-1', 'key-1']);
    clock.time = 30 * 60_000;
    expect(await ids()).toEqual(['key-2', 'key-2']);
  });

  it('are used to their end when they cannot be renewed', async () => {
    const clock = { time: 0, fail: false };
    const provide = assumeAt(clock);
    await provide();
    clock.fail = true;
    clock.time = 50 * 60_000;
    expect(await provide()).toMatchObject({ accessKeyId: 'key-1', expiration: new Date(3_600_000) });
    clock.time = 60 * 60_000;
    await expect(provide()).rejects.toThrow('STS is away');
  });

  if (localstack) {
    it('sign URLs that S3 takes', async () => {
      const stsClient = new STSClient({ endpoint: localstack, region, credentials });
      const roleArn = 'arn:aws:iam::000000000000:role/object-store-test';
      const world = await createS3TestObjectStore(
        localstack,
        assumedRoleCredentials({ stsClient, roleArn, clock: systemClock }),
      );
      try {
        const { store } = world;
        const upload = {
          key: 'k',
          ...(await store.createMultipart({ key: 'k', contentType: 'x/y', checksums: true })),
        };
        const body = Buffer.from('signed by a role');
        const part = { partNumber: 1, sizeBytes: body.length, checksumCrc64Nvme: await crc64Nvme(body) };
        const [signed] = await store.signParts({ ...upload, expiresInSeconds: 60, parts: [part] });
        const response = await fetch(signed?.url ?? '', { method: 'PUT', body, headers: signed?.headers ?? {} });
        expect([response.status, await response.text()]).toEqual([200, '']);
      } finally {
        await world.close();
      }
    });
  }
});
