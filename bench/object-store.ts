import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc64Nvme, createCrc64Nvme } from '../contract/crc64nvme.ts';
import { MIB } from '../contract/limits.ts';
import { FileObjectStore } from '../platform/embedded/file-object-store.ts';
import { objectsHttpHandler } from '../platform/embedded/objects-http.ts';
import { openDatabase } from '../platform/embedded/open-database.ts';
import type { SignedPartUrl } from '../platform/ports/object-store.ts';
import { systemClock } from '../platform/system-clock.ts';
import { atLeast, type BenchOptions, type Figure, figure, median } from './figures.ts';

const PART_BYTES = 64 * MIB;
const PARTS = 8;
const CONCURRENCY = 4;
const ROUNDS = 7;
const CHUNK_BYTES = MIB;
const LEAST_RATIO = 0.7;

/**
 * How fast the embedded object store takes parts through its URLs, as a share of what bounds it: the slower of one
 * sequential, synced write of the same bytes and a Node server that discards them, sent by the same client. Store and
 * sink are in one process, which is not the client's.
 */
export async function benchObjectStore({ quick }: BenchOptions): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const server = fork(import.meta.filename, [folder]);
  try {
    const [baseUrl] = (await once(server, 'message')) as [string];
    const rates = await measure(folder, baseUrl, server, quick ? 2 : ROUNDS);
    const bound = Math.min(median(rates.disk), median(rates.sink));
    const ratio = median(rates.store) / bound;
    return [
      figure('object store: synced sequential write', rates.disk, 'MiB/s'),
      figure('object store: HTTP sink', rates.sink, 'MiB/s'),
      figure('object store: CRC64NVME', rates.hash, 'MiB/s'),
      figure('object store: parts stored', rates.store, 'MiB/s'),
      atLeast(LEAST_RATIO, 'object store: parts stored, of the slower bound', ratio, 'x'),
    ];
  } finally {
    server.kill();
    await once(server, 'exit');
    rmSync(folder, { recursive: true });
  }
}

/** Rates in MiB/s of rounds that take turns, so that whatever else the machine does meets all of them; the first is not counted. */
async function measure(folder: string, baseUrl: string, server: ChildProcess, rounds: number) {
  const body = randomBytes(PART_BYTES);
  const checksumCrc64Nvme = await crc64Nvme(body);
  const file = join(folder, 'plain');
  // A virtual machine gives free memory back to its host, and page cache in memory that has to come from there costs several
  // times the write itself: both who write get memory that was just used.
  const warm = async () => {
    await writeFile(file, body);
    await rm(file);
  };
  const rates = { disk: [] as number[], sink: [] as number[], hash: [] as number[], store: [] as number[] };
  const timed = async (run: () => Promise<void>) => {
    const start = performance.now();
    await run();
    return (PARTS * PART_BYTES) / MIB / ((performance.now() - start) / 1_000);
  };
  for (let round = 0; round <= rounds; round++) {
    server.send({ sizeBytes: PART_BYTES, checksumCrc64Nvme });
    const [signed] = (await once(server, 'message')) as [SignedPartUrl[]];
    const sink = signed.map(({ headers }) => ({ url: `${baseUrl}/sink`, headers }));
    const measured = {
      sink: await timed(() => sendAll(sink, body)),
      hash: await timed(() => hashAll(body)),
      disk: await warm().then(() => timed(() => writeFile(file, body))),
      store: await warm().then(() => timed(() => sendAll(signed, body))),
    };
    if (round === 0) continue;
    for (const name of ['disk', 'sink', 'hash', 'store'] as const) rates[name].push(measured[name]);
  }
  return rates;
}

async function hashAll(body: Uint8Array): Promise<void> {
  const hash = await createCrc64Nvme();
  for (let i = 0; i < PARTS; i++)
    for (let at = 0; at < body.length; at += CHUNK_BYTES) hash.update(body.subarray(at, at + CHUNK_BYTES));
}

/** All bytes of a round in one file. */
async function writeFile(path: string, body: Uint8Array): Promise<void> {
  const file = await open(path, 'w');
  for (let i = 0; i < PARTS; i++)
    for (let at = 0; at < body.length; at += CHUNK_BYTES) await file.write(body, at, CHUNK_BYTES);
  await file.sync();
  await file.close();
}

async function sendAll(targets: readonly Pick<SignedPartUrl, 'url' | 'headers'>[], body: Uint8Array): Promise<void> {
  const rest = targets.values();
  const sender = async () => {
    for (const target of rest) await send(target, body);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, sender));
}

async function send({ url, headers }: Pick<SignedPartUrl, 'url' | 'headers'>, body: Uint8Array): Promise<void> {
  const sending = request(url, { method: 'PUT', headers: { ...headers, 'content-length': body.length } });
  const answered = once(sending, 'response');
  for (let at = 0; at < body.length; at += CHUNK_BYTES)
    if (!sending.write(body.subarray(at, at + CHUNK_BYTES))) await once(sending, 'drain');
  sending.end();
  const [response] = await answered;
  if (response.statusCode !== 200) throw new Error(`the server answered ${response.statusCode}`);
  await once(response.resume(), 'end');
}

/** The store's server, with a sink beside it. */
async function serve(folder: string): Promise<void> {
  const server = createServer((req, res) => {
    if (req.url === '/sink') req.resume().on('end', () => res.end());
    else void handler(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const store = new FileObjectStore({
    folder: join(folder, 'objects'),
    database: openDatabase(join(folder, 'objects.db')),
    baseUrl,
    signingKey: randomBytes(32),
    clock: systemClock,
  });
  const handler = objectsHttpHandler(store);
  let previous = { key: 'k', multipartId: '' };
  process.on('message', async (part: { sizeBytes: number; checksumCrc64Nvme: string }) => {
    await store.abortMultipart(previous);
    const { multipartId } = await store.createMultipart({ key: 'k', contentType: 'x/y', checksums: true });
    previous = { key: 'k', multipartId };
    const parts = Array.from({ length: PARTS }, (_, i) => ({ partNumber: i + 1, ...part }));
    process.send?.(await store.signParts({ ...previous, expiresInSeconds: 600, parts }));
  });
  process.send?.(baseUrl);
}

if (import.meta.main) await serve(process.argv[2] as string);
