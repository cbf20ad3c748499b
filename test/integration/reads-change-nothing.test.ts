import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { MillraceClient } from '../../client/millrace.ts';
import { routes } from '../../contract/routes.ts';
import { asUpload } from '../../lambdas/uploads/records.ts';
import { FileObjectStore } from '../../platform/embedded/file-object-store.ts';
import { openDatabase } from '../../platform/embedded/open-database.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { isQuiet } from '../support/data-folder.ts';
import { type EmbeddedServer, startEmbeddedServer } from '../support/e2e-server.ts';
import { rowsOf } from '../support/jobs-at-rest.ts';

/** What a route does depends on some of its query. */
const QUERIES: Readonly<Record<string, readonly string[]>> = {
  getUpload: ['', '?include=parts'],
  listUploads: ['', '?state=open&idle_seconds=1'],
  listFiles: ['', '?deleted=true'],
  listJobEvents: ['', '?wait_seconds=1&limit=500'],
  listUploadEvents: ['', '?wait_seconds=1&limit=500'],
};

const CASES = Object.entries(routes)
  .filter(([, { method }]) => method === 'GET')
  .flatMap(([operation, { path }]) => (QUERIES[operation] ?? ['']).map((query) => [operation, query, path] as const));

let server: EmbeddedServer;
/** Ids of everything that there is, by the names of path parameters. */
let ids: Readonly<Record<string, readonly string[]>>;

beforeAll(async () => {
  server = await startEmbeddedServer();
  ids = await fill();
  await vi.waitFor(() => expect(isQuiet(server.data)).toBe(true), { timeout: 60_000, interval: 200 });
}, 120_000);
afterAll(() => server?.close());

async function post(path: string, body: object): Promise<Record<string, { id: string }> & { id: string }> {
  const headers = { authorization: `Bearer ${server.apiKey}`, 'content-type': 'application/json' };
  const response = await fetch(`${server.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(response.ok).toBe(true);
  return (await response.json()) as Record<string, { id: string }> & { id: string };
}

/** One of everything, also what a reader might be tempted to put right: a session whose parts somebody has deleted. */
async function fill(): Promise<typeof ids> {
  const rows = Buffer.from('x,y\n1,2\n');
  const begin = async (name: string, size_bytes: number) =>
    (await post('/uploads/init', { name, size_bytes })).upload?.id ?? '';
  const send = async (id: string) => {
    const { parts } = (await post(`/uploads/${id}/parts`, { parts: [{ part_number: 1 }] })) as unknown as {
      parts: { url: string }[];
    };
    expect((await fetch(parts[0]?.url ?? '', { method: 'PUT', body: rows })).ok).toBe(true);
  };
  const [sent, gone, ended] = [
    await begin('sent.csv', rows.length),
    await begin('gone.csv', rows.length),
    await begin('ended.csv', rows.length),
  ];
  for (const id of [sent, gone, ended]) await send(id);
  const file = (await post(`/uploads/${ended}/complete`, {})).file?.id ?? '';
  await deleteParts(gone);
  // It fails, as its file has too few columns: a job with an error, with tasks and without artifacts.
  const job = (await post('/jobs', { workflow: 'inference', input: { file_id: file } })).id;
  const batch = (await post('/batches', { jobs: [{ workflow: 'inference', input: { file_id: file } }] })).id;
  const client = new MillraceClient({ url: server.url, apiKey: server.apiKey }, {} as never);
  await client.jobs.wait(job);
  await client.batches.wait(batch);
  const account = (await post('/marketplace-accounts', { marketplace: 'vinted', name: 'Shop' })).id;
  const product = {
    title: 'Lamp',
    description: 'A lamp.',
    price: { amount: 1_999, currency: 'EUR' },
    quantity: 1,
    condition: 'good',
    image_file_ids: [file],
  };
  return {
    upload_id: [sent, gone, ended],
    file_id: [file],
    job_id: [job],
    batch_id: [batch],
    account_id: [account],
    product_id: [(await post('/products', product)).id],
    webhook_id: [(await post('/webhooks', { url: 'https://example.com/hook', enabled: false })).id],
  };
}

async function deleteParts(uploadId: string): Promise<void> {
  const database = openDatabase(join(server.data, 'millrace.db'));
  const objects = new FileObjectStore({
    folder: join(server.data, 'objects'),
    database,
    baseUrl: server.url,
    signingKey: new Uint8Array(32),
    clock: systemClock,
  });
  const upload = rowsOf(database, 'uploads', 'UPLOAD')
    .map(asUpload)
    .find(({ upload_id }) => upload_id === uploadId);
  await objects.abortMultipart({ key: upload?.object_key ?? '', multipartId: upload?.multipart_id ?? '' });
  database.close();
}

/** Every row of every context's table and of the object store, every file, and the secrets. */
async function readData(): Promise<string[]> {
  const database = openDatabase(join(server.data, 'millrace.db'));
  try {
    const tables = database
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND (name GLOB 'table_*' OR name GLOB 'objects*')")
      .all()
      .map(({ name }) => String(name));
    expect(tables).toEqual(expect.arrayContaining(['table_uploads', 'table_jobs', 'table_publishing', 'objects']));
    const rows = tables.flatMap((table) =>
      database
        .prepare(`SELECT * FROM ${table}`)
        .all()
        .map((row) => `${table} ${JSON.stringify(row)}`),
    );
    const files = await readdir(join(server.data, 'objects'), { recursive: true });
    return [...rows, ...files, await readFile(join(server.data, 'secrets.json'), 'utf8')].sort();
  } finally {
    database.close();
  }
}

describe('a GET changes nothing:', () => {
  it.each(CASES)('%s%s', { timeout: 30_000 }, async (_operation, query, path) => {
    const name = /\{(\w+)\}/.exec(path)?.[1];
    const found = name === undefined ? [''] : ids[name];
    // A new kind of path parameter needs something to read above.
    expect(found, `ids of ${name}`).toBeDefined();
    for (const id of found ?? []) {
      const before = await readData();
      const url = `${server.url}${path.replace(`{${name}}`, id)}${query}`;
      const response = await fetch(url, { headers: { authorization: `Bearer ${server.apiKey}` } });
      expect(response.status).toBe(200);
      expect(await readData()).toEqual(before);
    }
  });
});
