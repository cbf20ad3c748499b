import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../contract/limits.ts';
import { lackOf } from '../support/capabilities.ts';
import { unpackFolder } from '../support/data-archive.ts';
import { type EmbeddedServer, startEmbeddedServer } from '../support/e2e-server.ts';
import { startCli, target, tempFolder, until } from '../support/e2e-world.ts';
import { marketplacesAt, newSeller, type Seller } from '../support/marketplaces/client.ts';
import { type SandboxServer, startSandboxServer } from '../support/marketplaces/server.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

// A data folder of version 1, as a kill -9 left it: test/support/make-data-v1.ts has made it. Everything in it
// has to work for good.

const lack = lackOf('a server process that can be killed', target.engine);
const FIXTURE = new URL('../fixtures/data-v1/', import.meta.url).pathname;
const CLOCK = new URL('../support/clock-process.ts', import.meta.url).href;
const BRIDGE_PROGRAM = new URL('../support/marketplaces/vinted-program.mjs', import.meta.url).pathname;
/** Long enough to give the webhooks an address that is there, before a message is sent again. */
const EARLIER_MS = 8_000;
const PART = 5 * MIB;
const TIMEOUT = 120_000;

const notes = JSON.parse(await readFile(join(FIXTURE, 'notes.json'), 'utf8'));
const { keys, files, uploads, jobs, batches, webhooks } = notes;

let server: EmbeddedServer;
let sandbox: SandboxServer;
let receiver: WebhookReceiver;
let ebay: Seller;

beforeAll(async () => {
  if (lack) return;
  const data = join(await tempFolder(), 'data');
  await unpackFolder(join(FIXTURE, 'data.br'), data);
  sandbox = await startSandboxServer();
  receiver = await startWebhookReceiver();
  ebay = await newSeller(sandbox, notes.sellers.ebay);
  await newSeller(sandbox, notes.sellers.vinted);
  const openedAt = Date.parse(webhooks.receiving.pending.next_attempt_at) - EARLIER_MS;
  const marketplaces = JSON.stringify(marketplacesAt(sandbox.url, 5));
  server = await startEmbeddedServer({
    data,
    args: ['--webhooks-to-private', '--marketplaces', marketplaces],
    nodeArgs: ['--import', CLOCK],
    env: { CLOCK_OFFSET_MS: String(openedAt - Date.now()) },
  });
}, TIMEOUT);
afterAll(() => Promise.all([server?.close(), sandbox?.close(), receiver?.close()]));

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape, looked at by expectations
  readonly body: any;
}

async function call(
  method: string,
  path: string,
  { key = keys.owner, body, headers }: { key?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

const get = async (path: string, key?: string) => (await call('GET', path, key === undefined ? {} : { key })).body;

async function download(fileId: string): Promise<Buffer> {
  const { url } = await get(`/files/${fileId}/download`);
  return Buffer.from(await (await fetch(url)).arrayBuffer());
}

/** As the program that made the folder has made them. */
function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size, seed);
  for (let at = 0; at + 4 <= size; at += 65_536) bytes.writeUInt32BE(at + seed, at);
  return bytes;
}

async function jobIn(id: string, state: string) {
  return until(
    `job ${id} is ${state}`,
    async () => {
      const job = await get(`/jobs/${id}`);
      if (job.state === 'failed' && state !== 'failed') throw new Error(`${id} failed: ${JSON.stringify(job.error)}`);
      return job.state === state ? job : undefined;
    },
    60,
  );
}

/** The events of a log that tell of a state. */
function statesIn(events: readonly { readonly type: string }[]): string[] {
  return events.map(({ type }) => type).filter((type) => type !== 'job.progress');
}

describe.skipIf(lack)(`a data folder of version 1${lack ? ` (${lack})` : ''}`, { timeout: TIMEOUT }, () => {
  it('sends the messages that its webhooks wait for, signed with both secrets, and a failed one again', async () => {
    const { receiving, disabled } = webhooks;
    const listed = (await get('/webhooks')).items.map(({ id }: { id: string }) => id).sort();
    expect(listed).toEqual([receiving.id, disabled.id].sort());
    const deliveries = async (id: string) => (await get(`/webhooks/${id}/deliveries?limit=100`)).items;
    await call('PUT', `/webhooks/${receiving.id}`, { body: { url: receiver.url } });
    const { pending } = receiving;
    const sent = await until('it was sent', async () =>
      receiver.received.find(({ headers }) => headers['webhook-id'] === pending.id),
    );
    const at = new Date(Number(sent.headers['webhook-timestamp']) * 1_000);
    const signatures = [receiving.secret, receiving.secret_before].map((secret) =>
      new Webhook(secret).sign(pending.id, at, sent.body),
    );
    expect(sent.headers['webhook-signature']).toBe(signatures.join(' '));
    expect(JSON.parse(sent.body)).toMatchObject({ type: 'upload.completed' });
    const log = await until('it is noted', async () => {
      const found = await deliveries(receiving.id);
      const sentOne = found.find(({ id }: { id: string }) => id === pending.id);
      return sentOne.state === 'delivered' ? found : undefined;
    });
    const tried = log.find(({ id }: { id: string }) => id === pending.id).attempts;
    expect(tried.map(({ status }: { status: number }) => status)).toEqual([500, 500, 204]);
    expect(log.filter(({ state }: { state: string }) => state === 'delivered').length).toBeGreaterThan(5);

    const [failed] = await deliveries(disabled.id);
    expect(failed).toMatchObject({ state: 'failed', type: 'upload.completed' });
    await call('PUT', `/webhooks/${disabled.id}`, { body: { url: receiver.url, events: ['upload.completed'] } });
    const path = `/webhooks/${disabled.id}/deliveries/${failed.id}/redeliver`;
    expect((await call('POST', path)).status).toBe(202);
    await until('it is delivered', async () => {
      const [delivery] = (await deliveries(disabled.id)).filter(({ id }: { id: string }) => id === failed.id);
      return delivery.state === 'delivered' ? true : undefined;
    });
  });

  it('still knows its keys, their scopes and their ends, and keeps tenants apart', async () => {
    expect(server.apiKey).toBe(keys.owner);
    const listed = await get('/keys');
    expect(listed.items.map(({ name }: { name: string }) => name).sort()).toEqual(['expired', 'first', 'viewer']);
    expect((await call('GET', '/jobs', { key: keys.viewer })).status).toBe(200);
    const job = { workflow: 'training', input: {} };
    expect((await call('POST', '/jobs', { key: keys.viewer, body: job })).status).toBe(403);
    for (const key of [keys.expired, keys.revoked]) expect((await call('GET', '/jobs', { key })).status).toBe(401);
    expect((await get('/files', keys.acme)).items.map(({ id }: { id: string }) => id)).toEqual([files.acme]);
    expect((await call('GET', `/files/${files.small}`, { key: keys.acme })).status).toBe(404);
  });

  it('still has every file, with its bytes, and brings back a deleted one', async () => {
    expect((await download(files.small)).toString()).toBe(`small\n${'0123456789'.repeat(20)}\n`);
    expect((await download(files.large)).equals(bytesOf(2 * PART + 1_234, 3))).toBe(true);
    expect((await get(`/files/${files.large}`)).receipt).toMatchObject({ parts: 3, size_bytes: 2 * PART + 1_234 });
    expect((await call('GET', `/files/${files.deleted}`)).status).toBe(404);
    expect((await call('POST', `/files/${files.deleted}/restore`)).status).toBe(200);
    expect((await download(files.deleted)).equals(bytesOf(2_000, 4))).toBe(true);
  });

  it('resumes and completes its open uploads, and ends the one that was being completed', async () => {
    const half = await get(`/uploads/${uploads.half}`);
    expect([half.state, half.progress.missing]).toEqual(['open', [{ first: 2, last: 2 }]]);
    const bytes = bytesOf(2 * PART + 77, 7);
    const signed = await call('POST', `/uploads/${uploads.half}/parts`, { body: { parts: [{ part_number: 2 }] } });
    const [{ url, headers }] = signed.body.parts;
    const put = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes.subarray(PART, 2 * PART)) });
    expect(put.status).toBe(200);
    const completed = await call('POST', `/uploads/${uploads.half}/complete`, { body: {} });
    expect([completed.status, completed.body.upload.state]).toEqual([200, 'completed']);
    expect((await download(completed.body.file.id)).equals(bytes)).toBe(true);

    const { body } = await call('POST', `/uploads/${uploads.completing}/complete`, { body: {} });
    expect((await download(body.file.id)).equals(bytesOf(PART + 7, 8))).toBe(true);

    const again = { name: 'untouched.bin', size_bytes: 3_000, part_size_bytes: PART };
    const untouched = await call('POST', '/uploads/init', { body: again, headers: { 'idempotency-key': 'upload-1' } });
    expect([untouched.status, untouched.body.upload.id]).toEqual([200, uploads.untouched]);
    expect((await get(`/uploads/${uploads.expired}`)).state).toBe('expired');
    const states = (await get('/uploads?limit=100')).items.map(({ state }: { state: string }) => state);
    expect(states).toEqual(expect.arrayContaining(['open', 'completed', 'rejected', 'aborted', 'expired']));
    const events = (await get(`/uploads/${uploads.half}/events?wait_seconds=5`)).items;
    expect(events[0]).toMatchObject({ type: 'upload.opened', data: { upload_id: uploads.half } });
    const past = (await get(`/uploads/${uploads.expired}/events`)).items;
    expect(past.at(-1)).toMatchObject({ type: 'upload.expired', tenant_id: 'main', data: { previous: 'open' } });
  });

  it('still has its ended jobs, with their tasks, artifacts and events', async () => {
    const completed = await get(`/jobs/${jobs.completed}`);
    expect(completed).toMatchObject({ state: 'completed', progress: { percent: 100 }, attempt: 1 });
    const tasks = (await get(`/jobs/${jobs.completed}/tasks`)).items;
    expect(tasks.map(({ state }: { state: string }) => state)).toEqual(['completed', 'completed', 'completed']);
    const artifacts = (await get(`/jobs/${jobs.completed}/artifacts`)).items;
    const summary = artifacts.find(({ name }: { name: string }) => name === 'summary.json');
    expect(await (await fetch(summary.url)).json()).toMatchObject({ rows: 40 });
    const failed = await get(`/jobs/${jobs.failed_input}`);
    expect([failed.state, failed.error.task]).toEqual(['failed', 'score-0']);
    const events = (await get(`/jobs/${jobs.completed}/events`)).items;
    expect(statesIn(events)).toEqual(['job.queued', 'job.running', 'job.completed']);
    for (const event of events) expect(event).toMatchObject({ tenant_id: 'main', data: { job_id: jobs.completed } });
    const repeated = await call('POST', '/jobs', {
      body: { workflow: 'inference', input: { file_id: files.rows }, max_retries: 0 },
      headers: { 'idempotency-key': 'job-1' },
    });
    expect([repeated.status, repeated.body.id]).toEqual([200, jobs.completed]);
  });

  it('ends the jobs that ran or waited in a queue, and those that were being cancelled', async () => {
    for (const name of ['running', 'queued', 'other']) await jobIn(jobs[name], 'completed');
    expect((await get(`/jobs/${jobs.running}`)).progress).toMatchObject({ percent: 100, total_tasks: 182 });
    const events = (await get(`/jobs/${jobs.running}/events?limit=500`)).items;
    expect(statesIn(events)).toEqual(['job.queued', 'job.running', 'job.completed']);
    const cursors = events.map(({ cursor }: { cursor: string }) => cursor);
    expect(cursors).toEqual([...cursors].sort());
    expect((await jobIn(jobs.cancelling, 'cancelled')).progress.total_tasks).toBe(602);
    const checkpoints = (await get(`/jobs/${jobs.running}/checkpoints`)).items;
    expect(checkpoints.map(({ iteration }: { iteration: number }) => iteration)).toEqual(
      Array.from({ length: 12 }, (_, index) => 5 * (index + 1)),
    );
  });

  it('goes on with a cancelled job from its checkpoint, as a new attempt', async () => {
    expect((await call('POST', `/jobs/${jobs.cancelled}/retry`)).status).toBe(202);
    expect((await jobIn(jobs.cancelled, 'completed')).attempt).toBe(2);
  });

  it('M4 goes on with a failed publication from its failed task, with the account as it was stored', async () => {
    expect((await call('POST', `/jobs/${jobs.failed_publishing}/retry`)).status).toBe(202);
    expect((await jobIn(jobs.failed_publishing, 'completed')).attempt).toBe(2);
    const { listings, effects } = await ebay.data();
    expect(listings.map(({ state }) => state)).toEqual(['PUBLISHED']);
    expect(effects.filter((effect) => effect === 'ebay.createOffer')).toHaveLength(1);
    expect((await get(`/products/${notes.product}`)).title).toBe('A brass lamp');
  });

  it('M3 goes on with a job that waited for a bridge', async () => {
    const folder = await tempFolder();
    const program = [process.execPath, BRIDGE_PROGRAM, sandbox.url, notes.sellers.vinted.seller];
    const caller = { apiKey: keys.owner, url: server.url };
    const bridge = startCli(folder, caller, 'bridge', '--journal', join(folder, 'journal'), '--', ...program);
    await jobIn(jobs.waiting, 'completed');
    bridge.child.kill('SIGKILL');
    await bridge.done;
  });

  it('counts the jobs of its batches right, and makes the jobs of the one that was being made', async () => {
    expect(await get(`/batches/${batches.ended}`)).toMatchObject({ total: 4, completed: 3, failed: 1, percent: 100 });
    const cancelled = await get(`/batches/${batches.cancelled}`);
    expect(cancelled).toMatchObject({ state: 'cancelled', total: 12, percent: 100 });
    const swept = await until(
      'the batch has ended',
      async () => {
        const batch = await get(`/batches/${batches.swept}`);
        return batch.percent === 100 ? batch : undefined;
      },
      90,
    );
    expect(swept).toMatchObject({ state: 'completed', total: 40, completed: 40 });
  });

  it('counts the jobs of each label right', async () => {
    await jobIn(jobs.failed_publishing, 'completed');
    const { items } = await get('/stats');
    const counts = items.map(({ label, jobs: counted }: Answer['body']) => [label, counted]);
    const none = { queued: 0, running: 0, cancelling: 0, failed: 0, cancelled: 0 };
    expect(counts).toEqual([
      ['ebay', { ...none, completed: 1 }],
      ['vinted', { ...none, completed: 1 }],
    ]);
  });
});
