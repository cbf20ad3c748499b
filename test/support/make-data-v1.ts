import { readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { packFolder } from './data-archive.ts';
import { type EmbeddedServer, startEmbeddedServer } from './e2e-server.ts';
import { marketplacesAt, newSeller } from './marketplaces/client.ts';
import { startSandboxServer } from './marketplaces/server.ts';
import { accountOf, PNG, productOf } from './marketplaces/shop.ts';
import { startWebhookReceiver } from './webhook-receiver.ts';

// Makes test/fixtures/data-v1: a data folder of layout 1 with a row of every kind, as a kill -9 left it. It was run with a
// checkout of version 0.1.0, commit 4e07814, and says nothing about any later one:
//
//     node test/support/make-data-v1.ts <folder of the checkout>

const [root = ''] = process.argv.slice(2);
const OUT = resolve(import.meta.dirname, '../fixtures/data-v1');
const CLOCK = new URL('./clock-process.ts', import.meta.url).href;
const DAY_MS = 86_400_000;
const MIB = 2 ** 20;
const PART = 5 * MIB;
const data = '/tmp/millrace-data-v1';

/** Kills the process right after the commit that makes a session `completing`. */
const KILL_WHEN_COMPLETING = `data:text/javascript,${encodeURIComponent(`
  import { DatabaseSync, StatementSync } from 'node:sqlite';
  const { exec } = DatabaseSync.prototype;
  const { run } = StatementSync.prototype;
  let armed = false;
  StatementSync.prototype.run = function (...args) {
    armed ||= args.some((arg) => String(arg).includes('"state":"completing"') && String(arg).includes('"upload_id"'));
    return run.apply(this, args);
  };
  DatabaseSync.prototype.exec = function (sql) {
    exec.call(this, sql);
    if (armed && sql === 'COMMIT') process.kill(process.pid, 'SIGKILL');
  };`)}`;

await rm(data, { recursive: true, force: true });
const sandbox = await startSandboxServer();
const receiver = await startWebhookReceiver();

function start(offsetMs = 0, nodeArgs: string[] = []): Promise<EmbeddedServer> {
  return startEmbeddedServer({
    root,
    data,
    args: [
      ...['--running-jobs', '4', '--webhooks-to-private'],
      ...['--marketplaces', JSON.stringify(marketplacesAt(sandbox.url, 5))],
    ],
    nodeArgs: ['--import', CLOCK, ...nodeArgs],
    env: { CLOCK_OFFSET_MS: String(offsetMs) },
  });
}

let server = await start(-8 * DAY_MS);
let key = server.apiKey;

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
async function api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<any> {
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
  const answer = text === '' ? undefined : JSON.parse(text);
  if (!response.ok && !path.endsWith('/complete')) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return answer;
}

async function until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  for (const deadline = Date.now() + 60_000; ; ) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within 60 s`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Bytes that compress well, and tell their place. */
function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size, seed);
  for (let at = 0; at + 4 <= size; at += 65_536) bytes.writeUInt32BE(at + seed, at);
  return bytes;
}

interface Opened {
  readonly id: string;
  readonly bytes: Buffer;
}

async function open(name: string, bytes: Buffer, more: object = {}, headers = {}): Promise<Opened> {
  const body = { name, size_bytes: bytes.length, part_size_bytes: PART, ...more };
  const { upload } = await api('POST', '/uploads/init', body, headers);
  return { id: upload.id, bytes };
}

async function sendPart({ id, bytes }: Opened, number: number): Promise<void> {
  const { parts } = await api('POST', `/uploads/${id}/parts`, { parts: [{ part_number: number }] });
  const body = bytes.subarray((number - 1) * PART, number * PART);
  const response = await fetch(parts[0].url, { method: 'PUT', headers: parts[0].headers, body: new Uint8Array(body) });
  if (!response.ok) throw new Error(`part ${number}: ${response.status}`);
}

async function upload(name: string, bytes: Buffer, content_type = 'application/octet-stream'): Promise<string> {
  const opened = await open(name, bytes, { content_type });
  for (let number = 1; (number - 1) * PART < bytes.length; number += 1) await sendPart(opened, number);
  const { file } = await api('POST', `/uploads/${opened.id}/complete`, {});
  return file?.id;
}

const jobs: Record<string, string> = {};
async function create(name: string, workflow: string, input: object, more: object = {}, headers = {}): Promise<string> {
  const { id } = await api('POST', '/jobs', { workflow, input, max_retries: 0, ...more }, headers);
  jobs[name] = id;
  return id;
}
const job = (name: string) => api('GET', `/jobs/${jobs[name]}`);
const inState = (name: string, ...states: string[]) =>
  until(`${name} is ${states}`, async () => states.includes((await job(name)).state));

// Eight days before: what is over by now.
const expiredKey = await api('POST', '/keys', { name: 'expired', expires_in_days: 1 });
const expired = await open('expired.bin', bytesOf(6 * MIB, 1), {}, { 'idempotency-key': 'long-ago' });
await sendPart(expired, 1);
const longDeleted = await upload('long-deleted.bin', bytesOf(1_000, 2));
await api('DELETE', `/files/${longDeleted}`);
await server.stop();

// Keys, files, accounts, what ended, messages to webhooks.
server = await start();
key = server.apiKey;
const viewerKey = await api('POST', '/keys', { name: 'viewer', role: 'viewer', scopes: ['jobs:read', 'uploads:read'] });
const revokedKey = await api('POST', '/keys', { name: 'revoked' });
await api('DELETE', `/keys/${revokedKey.id}`);

const acme = await fetch(`${server.url}/keys`, {
  method: 'POST',
  headers: { authorization: `Bearer ${server.rootSecret}`, 'content-type': 'application/json' },
  body: JSON.stringify({ tenant_id: 'acme', name: 'of another tenant', role: 'owner' }),
}).then((response) => response.json() as Promise<{ secret: string }>);
key = acme.secret;
const acmeFile = await upload('of-acme.txt', Buffer.from('of another tenant'), 'text/plain');
key = server.apiKey;

const webhook = await api('POST', '/webhooks', { url: receiver.url, description: 'of all events' });
const refusing = await api('POST', '/webhooks', { url: receiver.url, events: ['upload.completed'], enabled: false });

const small = Buffer.from(`small\n${'0123456789'.repeat(20)}\n`);
const smallFile = await upload('small.txt', small, 'text/plain');
const large = bytesOf(2 * PART + 1_234, 3);
const largeFile = await upload('large.bin', large);
const deletedFile = await upload('deleted.bin', bytesOf(2_000, 4));
await api('DELETE', `/files/${deletedFile}`);
await upload('rejected.png', Buffer.from('this is no image'), 'image/png');
const aborted = await open('aborted.bin', bytesOf(1_000, 5));
await api('DELETE', `/uploads/${aborted.id}`);
const untouched = await open('untouched.bin', bytesOf(3_000, 6), {}, { 'idempotency-key': 'upload-1' });
const half = await open('half.bin', bytesOf(2 * PART + 77, 7));
await sendPart(half, 1);
await sendPart(half, 3);
const completing = await open('completing.bin', bytesOf(PART + 7, 8));
await sendPart(completing, 1);
await sendPart(completing, 2);

const columns = Array.from({ length: 16 }, (_, at) => `x${String(at + 1).padStart(2, '0')}`);
const row = (index: number) => columns.map((_, at) => ((index * 7 + at * 3) % 19) / 10).join(',');
const csv = `${columns.join(',')}\n${Array.from({ length: 40 }, (_, index) => row(index)).join('\n')}\n`;
const csvFile = await upload('rows.csv', Buffer.from(csv), 'text/csv');
const noRows = await upload('no-rows.csv', Buffer.from('a,b\n1,2\n'), 'text/csv');
const photo = await upload('photo.png', PNG, 'image/png');

await create('completed', 'inference', { file_id: csvFile }, {}, { 'idempotency-key': 'job-1' });
await create('failed_input', 'inference', { file_id: noRows });
await inState('completed', 'completed');
await inState('failed_input', 'failed');

const ebay = await newSeller(sandbox);
const vinted = await newSeller(sandbox);
const ebayAccount = await api('POST', '/marketplace-accounts', accountOf('ebay', ebay.credentials));
const vintedAccount = await api('POST', '/marketplace-accounts', accountOf('vinted', vinted.credentials));
const product = await api(
  'POST',
  '/products',
  { ...productOf, image_file_ids: [photo] },
  { 'idempotency-key': 'product-1' },
);
await ebay.setFaults({ operation: 'ebay.publishOffer', times: 1_000, fate: 'status', status: 500 });
await create('failed_publishing', 'publishing', { product_id: product.id, account_id: ebayAccount.id });
await inState('failed_publishing', 'failed');
await ebay.setFaults();

const tiny = { iterations: 1, trajectories: 1, pairs: 1, hidden_units: 0, evaluation_episodes: 1 };
const line = (input: object) => ({ workflow: 'training', input, max_retries: 0 });
const endedBatch = await api(
  'POST',
  '/batches',
  {
    name: 'ended',
    jobs: [...Array.from({ length: 3 }, (_, seed) => line({ ...tiny, seed })), { workflow: 'none', input: {} }],
  },
  { 'idempotency-key': 'batch-1' },
);
await until('the batch has ended', async () => (await api('GET', `/batches/${endedBatch.id}`)).percent === 100);

/** Attempts that go wrong: one message waits for its next, one has failed since its webhook was disabled. */
receiver.statuses.push(...Array(20).fill(500));
await api('PUT', `/webhooks/${refusing.id}`, { url: receiver.url, events: ['upload.completed'] });
await upload('told-of.bin', bytesOf(500, 9));
const deliveries = async (id: string) => (await api('GET', `/webhooks/${id}/deliveries`)).items;
await until('both were tried', async () => {
  const [first] = await deliveries(webhook.id);
  const [second] = await deliveries(refusing.id);
  return first?.attempts.length > 0 && second?.attempts.length > 0;
});
await api('PUT', `/webhooks/${refusing.id}`, { url: receiver.url, events: ['upload.completed'], enabled: false });
await until('it has failed', async () => (await deliveries(refusing.id))[0]?.state === 'failed');
// Its third attempt is due after a minute.
const pending = await until('the other was tried twice', async () => {
  const [delivery] = await deliveries(webhook.id);
  return delivery.attempts.length === 2 && delivery;
});
const rotated = await api('POST', `/webhooks/${webhook.id}/rotate-secret`, { overlap_hours: 24 });

// What was under way. Each kill begins the running jobs' next execution.
const long = { iterations: 60, trajectories: 2, pairs: 3, hidden_units: 4, evaluation_episodes: 2 };
await create('running', 'training', { ...long, seed: 7 });
await create('waiting', 'publishing', { product_id: product.id, account_id: vintedAccount.id });
await until('the bridge has a command', async () => {
  const { items } = await api('GET', '/bridge/commands');
  return items.length > 0;
});
const untilDone = (name: string, tasks: number) =>
  until(`${name} has done ${tasks}`, async () => (await job(name)).progress.completed_tasks >= tasks);
await untilDone('running', 20);
await server.kill();
server = await start(0, ['--import', KILL_WHEN_COMPLETING]);
await create('cancelled', 'training', { ...long, seed: 8 });
await untilDone('cancelled', 12);
await api('DELETE', `/jobs/${jobs.cancelled}`);
await inState('cancelled', 'cancelled');
await create('cancelling', 'training', { ...long, iterations: 200, seed: 9 });
await create('other', 'training', { ...long, iterations: 200, seed: 10 });
await create('queued', 'training', { ...tiny, seed: 11 });
const cancelledBatch = await api('POST', '/batches', {
  name: 'cancelled',
  jobs: Array.from({ length: 12 }, (_, seed) => line({ ...tiny, seed })),
});
await api('DELETE', `/batches/${cancelledBatch.id}`);
await until('the batch is cancelled', async () => {
  const batch = await api('GET', `/batches/${cancelledBatch.id}`);
  return batch.state === 'cancelled';
});
await inState('cancelling', 'running');
await inState('other', 'running');
await untilDone('running', 45);
const sweptBatch = await api('POST', '/batches', {
  name: 'swept',
  jobs: Array.from({ length: 40 }, (_, seed) => line({ ...tiny, seed })),
});
await api('DELETE', `/jobs/${jobs.cancelling}`);
await api('POST', `/uploads/${completing.id}/complete`, {}).catch(() => undefined);
await server.ended;

const database = new DatabaseSync(join(data, 'millrace.db'));
database.exec('PRAGMA journal_mode = DELETE; VACUUM');
const bodies = (table: string, pattern: string) =>
  database
    .prepare(`SELECT body FROM ${table} WHERE sk GLOB ?`)
    .all(pattern)
    // biome-ignore lint/suspicious/noExplicitAny: rows of every kind
    .map(({ body }) => JSON.parse(String(body)) as any);
const rows = bodies('table_jobs', 'JOB');
const rowOf = (name: string) => rows.find(({ job_id }) => job_id === jobs[name]);
const progress = bodies('table_jobs', 'PROGRESS');
const found = {
  jobs: Object.fromEntries(Object.keys(jobs).map((name) => [name, rowOf(name)?.state])),
  legs: [rowOf('running').leg, rowOf('waiting').leg],
  untold: progress.filter(({ untold_seq }) => untold_seq).length > 0,
  uploads: Object.fromEntries(bodies('table_uploads', 'UPLOAD').map(({ name, state }) => [name, state])),
  batches: Object.fromEntries(bodies('table_jobs', 'BATCH').map(({ name, sweep }) => [name, sweep])),
  deliveries: [...new Set(bodies('table_live', 'DELIVERY#*').map(({ state }) => state))].sort(),
  executions: database.prepare("SELECT count(*) AS count FROM executions WHERE state = 'running'").get(),
};
database.close();
process.stdout.write(`${JSON.stringify(found, undefined, 1)}\n`);

for (const name of ['lock.db', 'lock.db-journal', 'server.log', 'millrace.db-wal', 'millrace.db-shm', 'demo'])
  await rm(join(data, name), { recursive: true, force: true });
await packFolder(data, join(OUT, 'data.br'));
const notes = {
  made_with: { version: '0.1.0', commit: '4e07814', layout: 1 },
  /** The clock of whoever opens it has to be near: sessions, events and keys end. */
  killed_at: new Date().toISOString(),
  keys: {
    owner: server.apiKey,
    viewer: viewerKey.secret,
    expired: expiredKey.secret,
    revoked: revokedKey.secret,
    acme: acme.secret,
  },
  files: { small: smallFile, large: largeFile, deleted: deletedFile, acme: acmeFile, rows: csvFile },
  uploads: { untouched: untouched.id, half: half.id, completing: completing.id, expired: expired.id },
  jobs,
  batches: { ended: endedBatch.id, cancelled: cancelledBatch.id, swept: sweptBatch.id },
  webhooks: {
    receiving: {
      ...{ id: webhook.id, secret: rotated.secret, secret_before: webhook.secret },
      pending: { id: pending.id, next_attempt_at: pending.next_attempt_at },
    },
    disabled: { id: refusing.id, secret: refusing.secret },
  },
  product: product.id,
  accounts: { ebay: ebayAccount.id, vinted: vintedAccount.id },
  sellers: { ebay: await ebay.data(), vinted: await vinted.data() },
};
await writeFile(join(OUT, 'notes.json'), `${JSON.stringify(notes, undefined, 2)}\n`);
const size = (await readFile(join(OUT, 'data.br'))).length;
process.stdout.write(`${size} bytes\n`);
await Promise.all([sandbox.close(), receiver.close()]);
