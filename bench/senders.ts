import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { Millrace, memoryStateStore, type UploadProgress } from '../client/index.ts';
import { KIB, MIB } from '../contract/limits.ts';
import type { Sent } from './contender.ts';

// A process that uploads in the way that its argument names: one task a line, and what it took a line.

export interface ClientTask {
  readonly url: string;
  readonly apiKey: string;
  readonly file: string;
  readonly concurrency: number;
  readonly partSizeBytes?: number;
  readonly integrity?: 'parts' | 'whole';
}

export interface S3Task {
  readonly endpoint: string;
  readonly bucket: string;
  readonly key: string;
  readonly file: string;
  readonly concurrency: number;
  readonly partSizeBytes: number;
}

export interface BareTask {
  readonly file: string;
  readonly concurrency: number;
  readonly partSizeBytes: number;
  readonly sizeBytes: number;
  /** Of the parts in order. */
  readonly urls: readonly string[];
}

/** What the client reads at a time: the bare sender has no other advantage than to do less. */
const CHUNK_BYTES = MIB;

let apiCalls = 0;
const { fetch } = globalThis;
globalThis.fetch = (...args) => {
  apiCalls += 1;
  return fetch(...args);
};

async function byClient({ url, apiKey, file, ...options }: ClientTask): Promise<number> {
  const millrace = new Millrace({ url, apiKey, state: memoryStateStore() });
  let partsSent = 0;
  const onProgress = ({ phase }: UploadProgress) => {
    if (phase === 'finalizing') partsSent = performance.now();
  };
  await millrace.uploads.upload(file, { ...options, resume: false, onProgress });
  return partsSent;
}

let s3: S3Client | undefined;

async function byLibStorage({ endpoint, bucket, key, file, concurrency, partSizeBytes }: S3Task): Promise<number> {
  s3 ??= new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const params = { Bucket: bucket, Key: key, Body: createReadStream(file) };
  const upload = new Upload({ client: s3, params, partSize: partSizeBytes, queueSize: concurrency });
  let partsSent = 0;
  upload.on('httpUploadProgress', () => {
    partsSent = performance.now();
  });
  await upload.done();
  return partsSent;
}

const agent = new Agent({ keepAlive: true });

async function byBarePuts({ file, concurrency, partSizeBytes, sizeBytes, urls }: BareTask): Promise<number> {
  const handle = await open(file);
  const parts = urls.entries();
  const worker = async () => {
    for (const [index, url] of parts) {
      const start = index * partSizeBytes;
      await putRange(handle, url, start, Math.min(start + partSizeBytes, sizeBytes));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  await handle.close();
  return performance.now();
}

async function putRange(handle: FileHandle, url: string, start: number, end: number): Promise<void> {
  const sending = request(url, { method: 'PUT', agent, headers: { 'content-length': end - start } });
  const answered = once(sending, 'response');
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  for (let at = start; at < end; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - at), at);
    await new Promise((resolve) => sending.write(buffer.subarray(0, bytesRead), resolve));
    at += bytesRead;
  }
  sending.end();
  const [response] = await answered;
  if (response.statusCode !== 200) throw new Error(`PUT answered ${response.statusCode}`);
  await once(response.resume(), 'end');
}

/** Each tells when the last part had arrived. */
const SENDERS: Readonly<Record<string, (task: never) => Promise<number>>> = {
  client: byClient,
  'lib-storage': byLibStorage,
  bare: byBarePuts,
};

const send = SENDERS[process.argv[2] ?? ''] as (task: unknown) => Promise<number>;
let rssBefore: number | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const task: unknown = JSON.parse(line);
  rssBefore ??= process.memoryUsage.rss();
  apiCalls = 0;
  const cpu = process.cpuUsage();
  const started = performance.now();
  const partsSent = await send(task);
  const ended = performance.now();
  const { user, system } = process.cpuUsage(cpu);
  const grownBytes = process.resourceUsage().maxRSS * KIB - rssBefore;
  const seconds = (ended - started) / 1_000;
  const sendingSeconds = (partsSent - started) / 1_000;
  const sent: Sent = { seconds, sendingSeconds, cpuSeconds: (user + system) / 1e6, grownBytes, apiCalls };
  process.stdout.write(`${JSON.stringify(sent)}\n`);
}
