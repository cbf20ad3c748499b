import { spawn } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Job, Millrace, memoryStateStore } from '../../client/index.ts';
import { crc64Nvme } from '../../contract/crc64nvme.ts';
import { MIB } from '../../contract/limits.ts';
import { lackOf } from '../support/capabilities.ts';
import { type EmbeddedServer, startEmbeddedServer } from '../support/e2e-server.ts';
import { completedOf, makeBytes, target, tempFolder, until } from '../support/e2e-world.ts';

const lack = lackOf('a server process that can be killed', target.engine);
const ROOT = resolve(import.meta.dirname, '../..');

async function start(options: Parameters<typeof startEmbeddedServer>[0]): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ ...(target.workspace ? { root: target.workspace } : {}), ...options });
  onTestFinished(() => server.close());
  return server;
}

function clientOf({ url, apiKey }: EmbeddedServer): Millrace {
  return new Millrace({ url, apiKey, state: memoryStateStore() });
}

/** A job of some seconds, once it runs. */
async function startDrill(server: EmbeddedServer): Promise<Job> {
  const client = clientOf(server);
  const job = await client.jobs.create('drill', { items: 4, work_ms: 1_000 });
  await until('it runs', async () => ((await client.jobs.get(job.id)).state === 'running' ? true : undefined));
  return job;
}

/** `npm start` with these options. */
async function npmStart(...args: string[]): Promise<{ exit: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['server/main.ts', ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const exit = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { exit, stdout, stderr };
}

/** A port that something else listens on. */
async function takePort(): Promise<number> {
  const busy = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void busy.close());
  await new Promise((resolve) => busy.once('listening', resolve));
  return (busy.address() as AddressInfo).port;
}

describe.skipIf(lack)(`the single-machine edition${lack ? ` (${lack})` : ''}`, () => {
  it('does the main job with npm start -- --once', { timeout: 120_000 }, async () => {
    const data = join(await tempFolder(), 'data');
    const run = await npmStart('--once', '--size', '20MB', '--port', '0', '--data', data);
    expect([run.exit, run.stdout]).toEqual([0, expect.stringContaining('The demo succeeded.')]);
    expect(run.stdout).toMatch(/summary\.json\s+[\d.]+ KiB|summary\.json +\d+ B/);
    expect(run.stdout).toMatch(/"bad_rows": 0/);
    const { mode } = await stat(join(data, 'secrets.json'));
    expect(mode & 0o777).toBe(0o600);
  });

  it('goes on with a running job after it was killed, and runs no completed task again', {
    timeout: 120_000,
  }, async () => {
    const data = join(await tempFolder(), 'data');
    const server = await start({ data });
    const job = await clientOf(server).jobs.create('drill', { items: 6, work_ms: 600 });
    const tasks = async (client: Millrace) => (await client.jobs.tasks(job.id)).items;
    await until('two items are done', async () => {
      const done = completedOf(await tasks(clientOf(server)));
      return done.length >= 3 ? true : undefined;
    });
    await server.kill();
    const client = clientOf(await start({ data }));
    const completed = completedOf(await tasks(client));
    const ended = await client.jobs.wait(job.id);
    expect([ended.state, ended.attempt]).toEqual(['completed', 1]);
    const after = await tasks(client);
    for (const task of completed) expect(after).toContainEqual(task);
  });

  it('M6 does an effect once when it is killed between the effect and its record', { timeout: 120_000 }, async () => {
    const data = join(await tempFolder(), 'data');
    const server = await start({ data });
    const job = await clientOf(server).jobs.create('rounds', { rounds: 1, effect_ms: 60_000 });
    await until('the effect has happened', async () => {
      const { items } = await clientOf(server).jobs.artifacts(job.id);
      return items.length > 0 ? true : undefined;
    });
    await server.kill();
    const client = clientOf(await start({ data }));
    const ended = await client.jobs.wait(job.id);
    expect([ended.state, ended.attempt]).toEqual(['completed', 1]);
    const { items: tasks } = await client.jobs.tasks(job.id);
    expect(tasks.map(({ attempts, output }) => [attempts, (output as { effects: number }).effects])).toEqual([[2, 1]]);
  });

  it('ends in order with a running job, and goes on at the next start', { timeout: 120_000 }, async () => {
    const data = join(await tempFolder(), 'data');
    const server = await start({ data });
    const job = await startDrill(server);
    await server.stop();
    const ended = await clientOf(await start({ data })).jobs.wait(job.id);
    expect([ended.state, ended.attempt]).toEqual(['completed', 1]);
  });

  it('U3 loses nothing of an upload when it is killed and started again', { timeout: 120_000 }, async () => {
    const data = join(await tempFolder(), 'data');
    let server = await start({ data });
    const port = Number(new URL(server.url).port);
    const bytes = makeBytes(80 * MIB, 11);
    let killed: Promise<void> | undefined;
    const uploading = clientOf(server).uploads.upload(bytes, {
      name: 'through-a-crash.bin',
      partSizeBytes: 5 * MIB,
      concurrency: 2,
      onProgress: ({ phase, percent }) => {
        if (phase === 'uploading' && percent >= 30) killed ??= server.kill();
      },
    });
    await until('it is killed', async () => killed?.then(() => true));
    server = await start({ data, port });
    const file = await uploading;
    expect(file.receipt.checksum_crc64nvme).toBe(await crc64Nvme(bytes));
    expect((await clientOf(server).files.list()).items).toHaveLength(1);
  });

  it('touches no running job while its port is taken, however often it is started', { timeout: 120_000 }, async () => {
    const data = join(await tempFolder(), 'data');
    const server = await start({ data });
    const job = await startDrill(server);
    await server.kill();
    const kept = () => {
      const database = new DatabaseSync(join(data, 'millrace.db'));
      const rows = ['table_jobs', 'executions'].map((table) => database.prepare(`SELECT * FROM ${table}`).all());
      database.close();
      return rows;
    };
    const before = kept();
    const { exit, stderr } = await npmStart('--port', String(await takePort()), '--data', data);
    expect([exit, stderr]).toEqual([1, expect.stringMatching(/port \d+ is in use/)]);
    expect(kept()).toEqual(before);
    const ended = await clientOf(await start({ data })).jobs.wait(job.id);
    expect([ended.state, ended.attempt]).toEqual(['completed', 1]);
  });

  it('says what to do about a busy port, a folder in use, one of a newer version, and wrong options', {
    timeout: 120_000,
  }, async () => {
    const folder = await tempFolder();
    const port = await takePort();
    const says = async (sentence: RegExp, ...args: string[]) => {
      const { exit, stderr } = await npmStart(...args);
      expect([exit, stderr]).toEqual([1, expect.stringMatching(sentence)]);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    };
    await says(/port \d+ is in use.*--port/, '--port', String(port), '--data', join(folder, 'a'));
    const server = await start({ data: join(folder, 'b') });
    await says(/is in use by another server/, '--port', '0', '--data', server.data);
    await mkdir(join(folder, 'c'));
    await writeFile(join(folder, 'c/version.json'), '{"version":99}');
    await says(/supports versions up to/, '--port', '0', '--data', join(folder, 'c'));
    await says(/--size must be a size/, '--size', 'big');
    await says(/--retry-delay must be a number of seconds/, '--retry-delay', '0');
    await says(/--help/, '--nope');
    expect((await npmStart('--help')).stdout).toContain('--serve-only');
  });

  it('keeps its first key over restarts', { timeout: 60_000 }, async () => {
    const data = join(await tempFolder(), 'data');
    const first = await start({ data });
    await first.stop();
    const second = await start({ data });
    expect(second.apiKey).toBe(first.apiKey);
    expect(JSON.parse(await readFile(join(data, 'credentials.json'), 'utf8')).url).toBe(second.url);
    expect((await clientOf(second).files.list()).items).toEqual([]);
  });
});
