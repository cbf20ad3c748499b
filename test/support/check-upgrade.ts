import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { deployTo } from './deploy.ts';
import { startLocalStack } from './localstack.ts';

// Deploys a checkout of data version 1 to a LocalStack, makes data of every kind, deploys this checkout over it while a job
// runs, and sees all of it work:
//
//     git worktree add --detach ../before 4e07814 && ln -s "$PWD/node_modules" ../before/node_modules
//     node test/support/check-upgrade.ts ../before
//
// It takes 5 to 10 minutes. With LOCALSTACK_ENDPOINT it uses that LocalStack, which has to be empty.

const { positionals } = parseArgs({ allowPositionals: true });
const [before] = positionals;
if (!before) throw new Error('name the folder of a checkout of commit 4e07814');
const ROOT = resolve(import.meta.dirname, '../..');
const PART = 5 * 2 ** 20;
const started = Date.now();

const localStack = process.env.LOCALSTACK_ENDPOINT ? undefined : await startLocalStack();
const endpoint = process.env.LOCALSTACK_ENDPOINT ?? localStack?.endpoint ?? '';
try {
  await main();
} finally {
  await localStack?.stop();
}

async function main(): Promise<void> {
  // It refuses settings that it doesn't know.
  const old = await deployTo(endpoint, resolve(before as string), ['webSocket=false']);
  say('data version 1 is deployed');
  const api = connect(old.url, await createKey(old.url, old.rootSecret));
  const data = await makeData(api);
  say('its data is made, and a job runs');
  const present = await deployTo(endpoint, ROOT);
  say('this version is deployed over it');
  await deployApi(present.url);
  assert.deepEqual([present.url, present.bucketName, present.rootSecret], [old.url, old.bucketName, old.rootSecret]);
  await useData(api, data);
  await createKey(present.url, present.rootSecret);
  say('all of it works');
}

/** LocalStack 4.14 forgets the API's stage when CloudFormation replaces the deployment behind it, as AWS does not. */
async function deployApi(url: string): Promise<void> {
  const [, id, stage] = /\/execute-api\/([^/]+)\/([^/]+)$/.exec(url) ?? [];
  const response = await fetch(`${endpoint}/restapis/${id}/deployments`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      // Which service is meant; LocalStack checks no signature here.
      authorization: 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/apigateway/aws4_request, Signature=0',
    },
    body: JSON.stringify({ stageName: stage }),
  });
  if (!response.ok) throw new Error(`the API was not deployed: ${response.status} ${await response.text()}`);
}

type Api = ReturnType<typeof connect>;
type Data = Awaited<ReturnType<typeof makeData>>;

async function makeData(api: Api) {
  const file = await upload(api, 'rows.csv', Buffer.from(csv(40)));
  const bad = await upload(api, 'no-rows.csv', Buffer.from('a,b\n1,2\n'));
  const half = await open(api, 'half.bin', bytesOf(PART + 7));
  await sendPart(api, half, bytesOf(PART + 7), 1);
  const webhook = await api('POST', '/webhooks', { url: `${endpoint}/nowhere`, events: ['job.completed'] });
  const completed = await create(api, 'inference', { file_id: file });
  const failed = await create(api, 'inference', { file_id: bad });
  await ended(api, completed, 'completed');
  await ended(api, failed, 'failed');
  const long = { iterations: 60, trajectories: 2, pairs: 1, hidden_units: 0, evaluation_episodes: 1 };
  const cancelled = await create(api, 'training', long);
  await runs(api, cancelled);
  await api('DELETE', `/jobs/${cancelled}`);
  await ended(api, cancelled, 'cancelled');
  const running = await create(api, 'training', long);
  await runs(api, running);
  return { file, half, webhook: webhook.id as string, completed, failed, cancelled, running };
}

async function useData(api: Api, data: Data): Promise<void> {
  const { file, half, webhook, completed, failed, cancelled, running } = data;
  const { url } = await api('GET', `/files/${file}/download`);
  assert.equal(await (await fetch(url)).text(), csv(40));
  await sendPart(api, half, bytesOf(PART + 7), 2);
  assert.equal((await api('POST', `/uploads/${half}/complete`, {})).upload.state, 'completed');
  say('files and uploads work');

  const job = await api('GET', `/jobs/${completed}`);
  assert.deepEqual([job.state, job.progress.percent], ['completed', 100]);
  assert.ok((await api('GET', `/jobs/${completed}/events`)).items.length >= 3);
  assert.ok((await api('GET', `/jobs/${completed}/artifacts`)).items.length >= 3);
  assert.equal((await api('GET', '/jobs?limit=10')).items.length, 4);
  assert.deepEqual(
    (await api('GET', '/webhooks')).items.map(({ id }: { id: string }) => id),
    [webhook],
  );
  const deliveries = (await api('GET', `/webhooks/${webhook}/deliveries`)).items;
  assert.ok(deliveries.length >= 1);
  await api('POST', `/webhooks/${webhook}/deliveries/${deliveries[0].id}/redeliver`, {});
  say('jobs, events and webhooks are listed');

  await api('POST', `/jobs/${failed}/retry`);
  assert.equal((await ended(api, failed, 'failed')).attempt, 2);
  const done = await ended(api, running, 'completed');
  assert.deepEqual([done.attempt, done.progress.percent], [1, 100]);
  say('the job that ran during the upgrade has completed');
  await api('POST', `/jobs/${cancelled}/retry`);
  assert.equal((await ended(api, cancelled, 'completed')).attempt, 2);
  const fresh = await create(api, 'inference', { file_id: file });
  await ended(api, fresh, 'completed');
}

function connect(url: string, key: string) {
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  return async (method: string, path: string, body?: unknown): Promise<any> => {
    for (let tries = 1; ; tries += 1) {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (response.ok) return text === '' ? undefined : JSON.parse(text);
      // A function that is being replaced answers 5xx for a moment.
      if (response.status < 500 || tries === 10) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      await pause(2_000);
    }
  };
}

async function createKey(url: string, rootSecret: string): Promise<string> {
  const { secret } = await connect(url, rootSecret)('POST', '/keys', { tenant_id: 'main', name: 'x', role: 'owner' });
  return secret;
}

async function open(api: Api, name: string, bytes: Buffer): Promise<string> {
  const { upload: opened } = await api('POST', '/uploads/init', {
    name,
    size_bytes: bytes.length,
    part_size_bytes: PART,
    content_type: 'application/octet-stream',
  });
  return opened.id;
}

async function sendPart(api: Api, id: string, bytes: Buffer, number: number): Promise<void> {
  const { parts } = await api('POST', `/uploads/${id}/parts`, { parts: [{ part_number: number }] });
  const body = new Uint8Array(bytes.subarray((number - 1) * PART, number * PART));
  const response = await fetch(parts[0].url, { method: 'PUT', headers: parts[0].headers, body });
  assert.equal(response.status, 200);
}

async function upload(api: Api, name: string, bytes: Buffer): Promise<string> {
  const id = await open(api, name, bytes);
  await sendPart(api, id, bytes, 1);
  return (await api('POST', `/uploads/${id}/complete`, {})).file.id;
}

async function create(api: Api, workflow: string, input: object): Promise<string> {
  return (await api('POST', '/jobs', { workflow, input, max_retries: 0 })).id;
}

async function runs(api: Api, id: string): Promise<void> {
  await until(`${id} runs`, async () => (await api('GET', `/jobs/${id}`)).progress.completed_tasks >= 4);
}

async function ended(api: Api, id: string, state: string) {
  // biome-ignore lint/suspicious/noExplicitAny: a job as the API shows it
  let job: any;
  await until(`${id} is ${state}`, async () => {
    job = await api('GET', `/jobs/${id}`);
    if (['completed', 'failed', 'cancelled'].includes(job.state)) assert.equal(job.state, state, JSON.stringify(job));
    return job.state === state;
  });
  return job;
}

async function until(what: string, ask: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 600_000; !(await ask()); await pause(1_000)) {
    if (Date.now() > deadline) throw new Error(`${what}: not within 10 minutes`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

function bytesOf(size: number): Buffer {
  return Buffer.alloc(size, 'millrace');
}

function csv(rows: number): string {
  const columns = Array.from({ length: 16 }, (_, at) => `x${String(at + 1).padStart(2, '0')}`);
  const row = (index: number) => columns.map((_, at) => ((index * 7 + at * 3) % 19) / 10).join(',');
  return `${[columns.join(','), ...Array.from({ length: rows }, (_, index) => row(index))].join('\n')}\n`;
}

function say(message: string): void {
  process.stdout.write(`[${((Date.now() - started) / 1_000).toFixed(0)} s] ${message}\n`);
}
