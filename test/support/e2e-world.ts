import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, inject, onTestFinished } from 'vitest';
import { type Job, Millrace, MillraceError, memoryStateStore, type Task } from '../../client/index.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import { MIB } from '../../contract/limits.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';

export const target = inject('target');
/** Calls on LocalStack take a Docker container each, on few cores. */
export const SLOWER = target.engine === 'embedded' ? 1 : 5;
/** Whether tests have their full sizes: on LocalStack, whose functions share this machine, in `npm run test:long` alone. */
export const IS_FULL_SIZE = target.engine !== 'localstack' || process.env.MILLRACE_LONG === '1';

/** The command connects to this machine only, too. */
const guard = { NODE_OPTIONS: process.env.NODE_OPTIONS };

const BIN = fileURLToPath(new URL('../../cli/bin/millrace.js', import.meta.url));

export interface Tenant {
  readonly id: string;
  readonly apiKey: string;
  readonly client: Millrace;
}

const tenants = new Set<Tenant>();

// Not by `onTestFailed`, which knows no tests that run side by side.
afterEach(async ({ task }) => {
  if (task.result?.state !== 'fail') return;
  for (const { message, requestId } of task.result.errors ?? []) {
    if (requestId) process.stderr.write(`${message} (request ${requestId})\n`);
  }
  for (const tenant of tenants) await tellJobs(tenant);
});

/** A tenant of its own for each test: tests run side by side on one deployment. */
export async function newTenant(prefix = 'e2e'): Promise<Tenant> {
  const root = new Millrace({ url: target.url, apiKey: target.rootSecret });
  const id = `${prefix}-${crypto.randomUUID().slice(0, 13)}`;
  const { secret: apiKey } = await root.keys.create({ tenant_id: id as never, name: 'e2e', role: 'owner' });
  const client = new Millrace({ url: target.url, apiKey, state: memoryStateStore() });
  const tenant = { id, apiKey, client };
  tenants.add(tenant);
  return tenant;
}

export interface Proxied {
  readonly proxy: FaultProxy;
  readonly client: Millrace;
  readonly apiKey: string;
  /** Of the API, through the proxy. */
  readonly url: string;
}

/** A way to the deployment through a proxy, parts and WebSockets included: with this key, or of a new tenant. */
export async function openProxied(more: { apiKey?: string; host?: string } = {}): Promise<Proxied> {
  const { apiKey } = more.apiKey === undefined ? await newTenant() : { apiKey: more.apiKey };
  const { origin, pathname } = new URL(target.url);
  const proxy = await startFaultProxy(origin, more.host);
  onTestFinished(() => proxy.close());
  const url = `${proxy.url}${pathname}`;
  return { proxy, apiKey, url, client: new Millrace({ url, apiKey, state: memoryStateStore() }) };
}

export async function tasksOf(client: Millrace, { id }: Pick<Job, 'id'>): Promise<Task[]> {
  return (await client.jobs.tasks(id, { limit: 500 })).items;
}

export function completedOf(tasks: readonly Task[]): Task[] {
  return tasks.filter(({ state }) => state === 'completed');
}

/** The last jobs, with the last of their tasks and events. */
async function tellJobs({ apiKey, client }: Tenant): Promise<void> {
  const { items } = await client.jobs.list({ limit: 3 });
  for (const job of items) {
    const tasks = await tasksOf(client, job);
    const lines = tasks.map((task) => `  ${task.id} ${task.state} ${task.error?.message ?? ''}`).slice(-30);
    const events = await call('GET', `/jobs/${job.id}/events?limit=500`, { apiKey });
    const told = events.body.items?.slice(-10).map((event: unknown) => `  ${JSON.stringify(event)}`) ?? [];
    process.stderr.write(`${[JSON.stringify(job), ...lines, ...told].join('\n')}\n`);
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape, looked at by expectations
  readonly body: any;
}

/** A request as curl would send it; redirects are not followed. */
export async function call(
  method: string,
  path: string,
  { apiKey, body, headers }: { apiKey?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(`${target.url}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(apiKey ? { authorization: `Bearer ${apiKey}` } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** Removed after the file's last test. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-e2e-'));
  folders.push(folder);
  return folder;
}

/** Bytes of an xorshift: the same for the same seed. */
export function makeBytes(sizeBytes: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = (0x9e3779b9 ^ Math.imul(seed, 0x85ebca6b)) >>> 0 || 1;
  for (let at = 0; at < words.length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}

export async function writeBytes(path: string, bytes: Uint8Array): Promise<string> {
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += MIB) yield bytes.subarray(at, at + MIB);
  };
  await pipeline(pieces, createWriteStream(path));
  return path;
}

export interface CliRun {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
  // biome-ignore lint/suspicious/noExplicitAny: events of every shape, looked at by expectations
  readonly events: any[];
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly done: Promise<CliRun>;
}

/** Runs the CLI with `--json` in a folder of its own home. */
export function startCli(
  folder: string,
  { apiKey, url = target.url }: { apiKey: string; url?: string },
  ...args: string[]
): RunningCli {
  const child = spawn(process.execPath, [BIN, '--json', ...args], {
    cwd: folder,
    env: { ...guard, PATH: process.env.PATH, HOME: folder, MILLRACE_URL: url, MILLRACE_API_KEY: apiKey },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const done = new Promise<CliRun>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit) => resolve({ exit, stdout, stderr, events: parseLines(stdout) }));
  });
  return { child, done };
}

export function runCli(folder: string, key: { apiKey: string; url?: string }, ...args: string[]): Promise<CliRun> {
  return startCli(folder, key, ...args).done;
}

/** A killed process may leave its last line unfinished. */
function parseLines(text: string): unknown[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

/** Asks until the answer is not undefined, with a deadline. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>, seconds = 30 * SLOWER): Promise<T> {
  for (const deadline = Date.now() + seconds * 1_000; ; ) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50 * SLOWER));
  }
}

/** As a person does whose server is down, or answers with an error of its own: the same again, until it works. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  const { answer } = await until(
    'an answer',
    async () => {
      try {
        return { answer: await ask() };
      } catch (error) {
        const mayRetry =
          error instanceof MillraceError && (error.code === 'NetworkError' || Number(error.status) >= 500);
        if (!mayRetry) throw error;
        return undefined;
      }
    },
    120,
  );
  return answer;
}

/** Asks patiently; `code` tells that it has worked before, though the answer was lost, or has become needless. */
export async function unless(code: ErrorCode, ask: () => Promise<unknown>): Promise<void> {
  await patiently(ask).catch((error: unknown) => {
    if (!(error instanceof MillraceError) || error.code !== code) throw error;
  });
}

export async function downloadArtifact(client: Millrace, job: Pick<Job, 'id'>, name: string): Promise<string> {
  const { items } = await client.jobs.artifacts(job.id, { limit: 500 });
  const artifact = items.find((item) => item.name === name);
  if (!artifact) throw new Error(`${job.id} has no ${name}, but ${items.map((item) => item.name)}`);
  const response = await fetch(artifact.url);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`);
  return response.text();
}
