import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteBucketCommand } from '@aws-sdk/client-s3';
import { GIB, MIB } from '../contract/limits.ts';
import { createS3Client, S3ObjectStore } from '../platform/aws/s3-object-store.ts';
import { S3Presigner } from '../platform/aws/s3-presign.ts';
import { systemClock } from '../platform/system-clock.ts';
import { type EmbeddedServer, startEmbeddedServer } from '../test/support/e2e-server.ts';
import { Contender, inRounds, mibPerSecond, type Sent, startSender } from './contender.ts';
import { atLeast, atMost, type BenchOptions, type Figure, figure } from './figures.ts';
import { onLocalStack } from './localstack.ts';
import type { BareTask, ClientTask, S3Task } from './senders.ts';

const PART_BYTES = 16 * MIB;
const CONCURRENCY = 4;
const AWSCLI = 'awscli==1.46.2';
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

function sizes({ quick }: BenchOptions) {
  return quick ? { rounds: 2, sizeBytes: 64 * MIB } : { rounds: 7, sizeBytes: GIB };
}

/** The client against other ways to send the same file to the same S3, with the same part size and concurrency. */
export async function benchUpload(options: BenchOptions): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  try {
    return await onS3((server) => compare(server, folder, options));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function compare({ endpoint, kind }: S3Server, folder: string, options: BenchOptions): Promise<Figure[]> {
  const { rounds, sizeBytes } = sizes(options);
  const file = writeFile(folder, sizeBytes);
  const { store, bucket, clear, remove } = await createBucket(endpoint);
  const api = fork(new URL('s3-api.ts', import.meta.url).pathname, [endpoint, bucket]);
  const senders = { client: startSender('client'), lib: startSender('lib-storage'), bare: startSender('bare') };
  const aws = startAwsCli(folder);
  try {
    const [url] = (await once(api, 'message')) as [string];
    const common = { file, concurrency: CONCURRENCY, partSizeBytes: PART_BYTES };
    const clientTask: ClientTask = { ...common, url, apiKey: 'mr_bench' };
    const s3Task: S3Task = { ...common, endpoint, bucket, key: 'bench' };
    const storing = async (sending: Promise<Sent>) => {
      const sent = await sending;
      await clear(sizeBytes);
      return sent;
    };
    const sent = await inRounds(rounds, {
      client: () => storing(senders.client.send(clientTask)),
      'lib-storage': () => storing(senders.lib.send(s3Task)),
      'aws s3 cp': () => storing(aws.send(s3Task)),
      'bare PUTs': async () => {
        const upload = {
          key: 'bare',
          ...(await store.createMultipart({ key: 'bare', contentType: 'x/y', checksums: false })),
        };
        const parts = Array.from({ length: Math.ceil(sizeBytes / PART_BYTES) }, (_, index) => ({
          partNumber: index + 1,
          sizeBytes: Math.min(PART_BYTES, sizeBytes - index * PART_BYTES),
        }));
        const signed = await store.signParts({ ...upload, parts, expiresInSeconds: 3_600 });
        const task: BareTask = { ...common, sizeBytes, urls: signed.map(({ url }) => url) };
        const result = await senders.bare.send(task);
        await store.abortMultipart(upload);
        return result;
      },
    });
    return figuresOf(kind, sizeBytes, sent);
  } finally {
    for (const sender of [...Object.values(senders), aws]) sender.close();
    api.kill();
    await remove();
  }
}

type Name = 'client' | 'lib-storage' | 'aws s3 cp' | 'bare PUTs';

function figuresOf(kind: string, sizeBytes: number, sent: Readonly<Record<Name, readonly Sent[]>>): Figure[] {
  const prefix = `upload to ${kind}`;
  const rate = (name: Name, round: number) => mibPerSecond(sizeBytes, sent[name][round] as Sent);
  const each = (value: (round: number) => number) => sent.client.map((_, round) => value(round));
  const best = each((round) => rate('client', round) / Math.max(rate('lib-storage', round), rate('aws s3 cp', round)));
  const bare = each((round) => rate('client', round) / rate('bare PUTs', round));
  const cpu = each((round) => cpuOf(sent.client[round]) / cpuOf(sent['lib-storage'][round]));
  const bareName = `${prefix}: client, of bare PUTs`;
  return [
    ...(Object.keys(sent) as Name[]).flatMap((name) => ratesOf(`${prefix}: ${name}`, sizeBytes, sent[name])),
    atLeast(0.95, `${prefix}: client, of the better of lib-storage and aws s3 cp`, best, 'x'),
    // What takes no time to receive shows what it costs to send; hashing is most of the client's then.
    kind === 'a sink' ? figure(bareName, bare, 'x') : atLeast(0.9, bareName, bare, 'x'),
    atMost(1, `${prefix}: client's CPU, of lib-storage's`, cpu, 'x'),
  ];
}

function ratesOf(name: string, sizeBytes: number, sent: readonly Sent[]): Figure[] {
  return [
    figure(
      name,
      sent.map((one) => mibPerSecond(sizeBytes, one)),
      'MiB/s',
    ),
    figure(
      `${name}, CPU`,
      sent.map((one) => (one.cpuSeconds * GIB) / sizeBytes),
      's/GiB',
    ),
    figure(`${name}, memory`, Math.max(...sent.map(({ grownBytes }) => grownBytes)) / MIB, 'MiB'),
  ];
}

function cpuOf(sent: Sent | undefined): number {
  return sent?.cpuSeconds ?? Number.NaN;
}

/** The client against the single-machine edition, through its API: with every part's checksum signed, and without. */
export async function benchEmbeddedUpload(options: BenchOptions): Promise<Figure[]> {
  const { rounds, sizeBytes } = sizes(options);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const server = await startEmbeddedServer();
  const senders = { parts: startSender('client'), whole: startSender('client'), bare: startSender('bare') };
  try {
    const file = writeFile(folder, sizeBytes);
    const common = { file, concurrency: CONCURRENCY, partSizeBytes: PART_BYTES };
    const clientTask: ClientTask = { ...common, url: server.url, apiKey: server.apiKey };
    const sent = await inRounds(rounds, {
      parts: () => senders.parts.send(clientTask),
      whole: () => senders.whole.send({ ...clientTask, integrity: 'whole' }),
      bare: async () => {
        const { id, urls } = await openWholeSession(server, sizeBytes);
        const result = await senders.bare.send({ ...common, sizeBytes, urls } satisfies BareTask);
        await call(server, 'DELETE', `/uploads/${id}`);
        return result;
      },
    });
    const ratio = sent.parts.map((one, round) => (sent.bare[round] as Sent).sendingSeconds / one.sendingSeconds);
    const name = 'upload to the single machine';
    return [
      ...ratesOf(`${name}: client, parts' checksums signed`, sizeBytes, sent.parts),
      ...ratesOf(`${name}: client, checksum of the whole alone`, sizeBytes, sent.whole),
      ...ratesOf(`${name}: bare PUTs, nothing hashed by the sender`, sizeBytes, sent.bare),
      figure(`${name}: client, of bare PUTs`, ratio, 'x'),
    ];
  } finally {
    for (const sender of Object.values(senders)) sender.close();
    await server.close();
    rmSync(folder, { recursive: true });
  }
}

async function openWholeSession(server: EmbeddedServer, sizeBytes: number): Promise<{ id: string; urls: string[] }> {
  const parts = Array.from({ length: Math.ceil(sizeBytes / PART_BYTES) }, (_, index) => ({ part_number: index + 1 }));
  const body = { name: 'bare', size_bytes: sizeBytes, part_size_bytes: PART_BYTES, integrity: 'whole', parts };
  const answer = (await call(server, 'POST', '/uploads/init', body)) as {
    upload: { id: string };
    parts: { url: string }[];
  };
  return { id: answer.upload.id, urls: answer.parts.map(({ url }) => url) };
}

async function call(server: EmbeddedServer, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${server.apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
  return response.json();
}

/** Of bytes that repeat after a MiB: nothing on the way compresses. */
function writeFile(folder: string, sizeBytes: number): string {
  const file = join(folder, 'file.bin');
  const block = crypto.getRandomValues(new Uint32Array(16_384));
  const mib = Buffer.concat(Array.from({ length: 16 }, () => Buffer.from(block.buffer)));
  writeFileSync(file, '');
  for (let at = 0; at < sizeBytes; at += MIB) writeFileSync(file, mib, { flag: 'a' });
  return file;
}

interface S3Server {
  readonly endpoint: string;
  readonly kind: string;
}

/** `BENCH_S3_ENDPOINT`: a URL, or `sink` for one that discards; a LocalStack of its own when it is not set. */
async function onS3<T>(use: (server: S3Server) => Promise<T>): Promise<T> {
  const given = process.env.BENCH_S3_ENDPOINT;
  if (given === undefined) return onLocalStack((endpoint) => use({ endpoint, kind: 'LocalStack' }));
  if (given !== 'sink') return use({ endpoint: given, kind: 'S3' });
  const sink = fork(new URL('s3-sink.ts', import.meta.url).pathname);
  try {
    const [endpoint] = (await once(sink, 'message')) as [string];
    return await use({ endpoint, kind: 'a sink' });
  } finally {
    sink.kill();
  }
}

async function createBucket(endpoint: string) {
  const client = createS3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  const bucket = `bench-${crypto.randomUUID().slice(0, 8)}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const presigner = new S3Presigner({
    client,
    bucket,
    credentials: async () => credentials,
    clock: systemClock,
    publicEndpoint: endpoint,
  });
  const store = new S3ObjectStore({ client, bucket, presigner });
  return {
    store,
    bucket,
    /** Deletes the one object, which must have this size. */
    async clear(sizeBytes: number) {
      const { items } = await store.list({ prefix: '' });
      if (items.length !== 1 || items[0]?.sizeBytes !== sizeBytes) throw new Error(`stored: ${JSON.stringify(items)}`);
      await store.delete(items[0].key);
    },
    async remove() {
      for (const { key } of (await store.list({ prefix: '' })).items) await store.delete(key);
      await client.send(new DeleteBucketCommand({ Bucket: bucket }));
      client.destroy();
    },
  };
}

/** awscli from PyPI, in an environment that is kept for the next run. */
function startAwsCli(folder: string): Contender {
  const environment = join(tmpdir(), `millrace-bench-${AWSCLI.replace('==', '-')}`);
  const python = join(environment, 'bin/python');
  if (!existsSync(join(environment, 'ready'))) {
    execFileSync('python3', ['-m', 'venv', '--clear', environment]);
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', AWSCLI]);
    mkdirSync(join(environment, 'ready'));
  }
  const config = join(folder, 'aws-config');
  const mib = PART_BYTES / MIB;
  const settings = [
    `multipart_chunksize = ${mib}MB`,
    `multipart_threshold = ${mib}MB`,
    `max_concurrent_requests = ${CONCURRENCY}`,
    'addressing_style = path',
  ];
  writeFileSync(config, `[default]\nregion = us-east-1\ns3 =\n${settings.map((line) => `  ${line}\n`).join('')}`);
  return new Contender(python, [new URL('aws-s3-cp.py', import.meta.url).pathname], {
    AWS_CONFIG_FILE: config,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  });
}
