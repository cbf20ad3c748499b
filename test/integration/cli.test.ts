import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { downloadFile, Millrace } from '../../client/index.ts';
import { type ScriptedServer, startScriptedServer, TEST_KEY } from '../support/scripted-server.ts';

const PART = 64 * 1024;
const JOB = 'job_01JD3Z8J3V8K4N5Q6R7S8T9V0W';
const BIN = fileURLToPath(new URL('../../cli/bin/millrace.js', import.meta.url));

let folder: string;
let server: ScriptedServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-'));
  server = await startScriptedServer({ partSizeBytes: PART });
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

function start(args: string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [BIN, ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? '',
      NODE_OPTIONS: process.env.NODE_OPTIONS ?? '',
      HOME: folder,
      MILLRACE_URL: server.url,
      MILLRACE_API_KEY: TEST_KEY,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function finish(child: ChildProcess) {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const exit = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return {
    exit,
    stdout,
    stderr,
    events: () =>
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
  };
}

const run = (args: string[], env?: Record<string, string>) => finish(start(args, env));

async function makeFile(name = 'rows.bin', parts = 6) {
  const bytes = randomBytes(parts * PART);
  await writeFile(join(folder, name), bytes);
  return bytes;
}

function playJob(state: 'completed' | 'failed' | 'cancelled') {
  const job = {
    id: JOB,
    workflow: 'tiny',
    state,
    attempt: 1,
    progress: { percent: 100, phase: 'greet', completed_tasks: 1, total_tasks: 1 },
    ...(state === 'failed' && { error: { code: 'InputDataError', message: 'no rows' } }),
  };
  const base = { time: '2026-01-01T00:00:00.000Z', tenant_id: 'acme' };
  const events = [
    { ...base, id: '1', type: 'job.progress', data: { job_id: JOB, progress: job.progress }, cursor: '1' },
    { ...base, id: '2', type: `job.${state}`, data: { job_id: JOB, state, attempt: 1 }, cursor: '2' },
  ];
  server.answers['POST /jobs'] = () => ({ status: 201, body: { ...job, state: 'queued' } });
  server.answers[`GET /jobs/${JOB}`] = () => ({ body: job });
  server.answers[`GET /jobs/${JOB}/events`] = () => ({ body: { items: events, next_cursor: '2' } });
  server.answers[`GET /jobs/${JOB}/tasks`] = () => ({
    body: { items: [{ id: 'greet', step_type: 'greet', state: 'completed', attempts: 1 }] },
  });
  server.answers[`GET /jobs/${JOB}/artifacts`] = () => ({
    body: { items: [{ name: 'summary.json', size_bytes: 12, partial: false, url: 'http://x/summary' }] },
  });
}

describe('upload', () => {
  it('uploads a file, tells its id and receipt, and answers 0', async () => {
    const bytes = await makeFile();
    const { exit, stdout, stderr } = await run(['upload', 'rows.bin']);
    expect(exit).toBe(0);
    const [, fileId = ''] = /^(file_\w+) {2}rows\.bin {2}384 KiB {2}CRC64NVME \S{12}\n$/.exec(stdout) ?? [];
    expect(server.bytesOf(fileId)).toEqual(bytes);
    expect(stderr).toContain('rows.bin: ');
    expect(stderr).not.toContain('\u001b');
  });

  it('writes one JSON event a line with --json, and nothing else', async () => {
    await makeFile();
    const { exit, stderr, events } = await run(['--json', 'upload', 'rows.bin']);
    expect(exit).toBe(0);
    const types = events().map((event: { type: string }) => event.type);
    expect(types[0]).toBe('session');
    expect(types.at(-1)).toBe('uploaded');
    expect(types).toContain('progress');
    expect(events().at(-1).file.receipt.size_bytes).toBe(6 * PART);
    expect(stderr).toBe('');
  });

  it('says nothing but the result with --quiet', async () => {
    await makeFile();
    const { stdout, stderr } = await run(['-q', 'upload', 'rows.bin']);
    expect(stdout).toMatch(/^file_/);
    expect(stderr).toBe('');
  });

  it('goes on with the other files when one fails, and answers with its exit code', async () => {
    await makeFile();
    const { exit, stdout, stderr } = await run(['upload', 'none.bin', 'rows.bin']);
    expect(exit).toBe(1);
    expect(stderr).toContain(
      'millrace: none.bin: none.bin cannot be read: no such file or directory (FileUnreadableError)',
    );
    expect(stdout).toContain('rows.bin');
  });

  it('uploads folders and files with events of each file and of the whole', async () => {
    for (const name of ['photos/a.jpg', 'photos/deep/b.jpg']) {
      await mkdir(join(folder, name, '..'), { recursive: true });
      await makeFile(name);
    }
    await makeFile();
    const { exit, events } = await run(['--json', 'upload', 'photos', 'rows.bin']);
    expect(exit).toBe(0);
    const uploaded = events().filter(({ type }) => type === 'uploaded');
    expect(uploaded.map(({ path }) => path).sort()).toEqual(['photos/a.jpg', 'photos/deep/b.jpg', 'rows.bin']);
    expect(uploaded.map(({ file }) => file.name).sort()).toEqual(['a.jpg', 'b.jpg', 'rows.bin']);
    const of = (type: string) => events().filter((event) => event.type === type);
    expect(new Set(of('progress').map(({ path }) => path)).size).toBe(3);
    expect(of('total')[0]).toMatchObject({ file_count: 3, bytes_total: 18 * PART });
    expect((await run(['upload', '--name', 'x', 'photos'])).exit).toBe(2);
  });

  it('U3 is interrupted with many files, tells those that are done, and goes on with the same command', async () => {
    await mkdir(join(folder, 'photos'));
    for (const name of ['photos/a.jpg', 'photos/b.jpg']) await makeFile(name, 1);
    await makeFile('photos/long.bin', 30);
    let child: ChildProcess | undefined;
    server.faults['put 20'] = [
      () => {
        child?.kill('SIGINT');
        return 'silence';
      },
    ];
    child = start(['--json', 'upload', '--concurrency', '2', 'photos']);
    const first = await finish(child);
    expect(first.exit).toBe(130);
    const stopped = first.events().find(({ path, type }) => type === 'error' && path === 'photos/long.bin');
    expect(stopped).toMatchObject({ code: 'AbortedError', resume: expect.stringContaining('millrace resume upl_') });
    const again = await run(['--json', 'upload', '--concurrency', '2', 'photos']);
    expect(again.exit).toBe(0);
    const uploaded = again.events().filter(({ type }) => type === 'uploaded');
    expect(uploaded.find(({ path }) => path === 'photos/long.bin').file.upload_id).toBe(stopped.upload_id);
    const done = first.events().flatMap(({ type, path }) => (type === 'uploaded' ? [path] : []));
    expect(first.events().at(-2)).toMatchObject({ type: 'summary', files_done: done.length });
    // So may be one whose completion was on its way when it was interrupted.
    const skipped = uploaded.flatMap(({ path, skipped }) => (skipped ? [path] : []));
    expect(skipped).toEqual(expect.arrayContaining(done));
    expect(again.events().at(-1)).toMatchObject({ type: 'summary', file_count: 3, files_done: 3, files_failed: 0 });
    expect(server.sessions.size).toBe(3);
  });

  it('U3 keeps the session when it is interrupted, and says the command that goes on', async () => {
    const bytes = await makeFile('my rows.bin', 30);
    let child: ChildProcess | undefined;
    server.faults['put 9'] = [
      () => {
        child?.kill('SIGINT');
        return 'silence';
      },
    ];
    child = start(['upload', '--concurrency', '1', 'my rows.bin']);
    const first = await finish(child);
    expect(first.exit).toBe(130);
    const [, uploadId = ''] = /millrace resume (upl_\w+) 'my rows\.bin'/.exec(first.stderr) ?? [];
    expect(first.stderr).toContain('interrupted');
    expect(server.sessions.get(uploadId)?.parts.size).toBe(8);
    server.trace.length = 0;
    const second = await run(['resume', uploadId, 'my rows.bin']);
    expect(second.exit).toBe(0);
    expect(server.trace.filter((line) => line.startsWith('put '))).toHaveLength(22);
    expect(server.bytesOf(second.stdout.split(' ')[0] ?? '')).toEqual(bytes);
  });
});

describe('files', () => {
  async function uploaded(): Promise<{ id: string; bytes: Buffer }> {
    const bytes = await makeFile();
    const { events } = await run(['--json', 'upload', 'rows.bin']);
    return { id: events().at(-1).file.id, bytes };
  }

  it('downloads a file, through a broken connection, and compares it with its receipt', async () => {
    const { id, bytes } = await uploaded();
    server.faults['get bytes'] = ['cut'];
    const { exit } = await run(['download', id, '-o', 'copy.bin']);
    expect(exit).toBe(0);
    expect(await readFile(join(folder, 'copy.bin'))).toEqual(bytes);
  });

  it('leaves nothing of a download that differs from the receipt', async () => {
    const { id } = await uploaded();
    for (const session of server.sessions.values()) session.parts.get(3)?.bytes.fill(0);
    const { exit, stderr } = await run(['download', id, '-o', 'copy.bin']);
    expect(exit).toBe(1);
    expect(stderr).toContain('DownloadMismatchError');
    expect((await readdir(folder)).filter((name) => name.startsWith('copy'))).toEqual([]);
  });

  it('overwrites no file that it was not told to', async () => {
    const { id } = await uploaded();
    for (const args of [[], ['-o', '.']]) {
      const { exit, stderr } = await run(['download', id, ...args]);
      expect(exit).toBe(2);
      expect(stderr).toContain('rows.bin already exists');
    }
  });

  it('downloads into a folder under the file’s own name, which cannot lead out of it', async () => {
    const { id, bytes } = await uploaded();
    for (const path of ['slashed', 'plain']) await mkdir(join(folder, path));
    const { stdout } = await run(['download', id, '-o', 'slashed/']);
    expect(stdout).toContain(join('slashed', 'rows.bin'));
    expect((await run(['download', id, '-o', 'plain'])).exit).toBe(0);
    for (const path of ['slashed', 'plain']) {
      expect(await readdir(join(folder, path))).toEqual(['rows.bin']);
      expect(await readFile(join(folder, path, 'rows.bin'))).toEqual(bytes);
    }
    const [session] = server.sessions.values();
    const rename = (name: string) => Object.assign(session?.init ?? {}, { name });
    rename('../../other.bin');
    expect((await run(['download', id, '-o', 'plain'])).exit).toBe(0);
    expect(await readdir(join(folder, 'plain'))).toEqual(['other.bin', 'rows.bin']);
    for (const name of ['a/..', '/']) {
      rename(name);
      const { exit, stderr } = await run(['download', id, '-o', 'plain']);
      expect([name, exit]).toEqual([name, 2]);
      expect(stderr).toContain('with -o');
    }
  });

  it('refuses what cannot become the file before the transfer, in a sentence', async () => {
    const { id } = await uploaded();
    await mkdir(join(folder, 'taken', 'rows.bin'), { recursive: true });
    const refused = {
      'nowhere/': 'the folder nowhere does not exist',
      'rows.bin/': 'the folder rows.bin does not exist',
      taken: 'exists',
    };
    for (const [path, sentence] of Object.entries(refused)) {
      const { exit, stderr } = await run(['-q', 'download', id, '-o', path]);
      expect([path, exit]).not.toEqual([path, 0]);
      expect(stderr).toContain(sentence);
    }
    const millrace = new Millrace({ url: server.url, apiKey: TEST_KEY });
    for (const path of ['', '.', './', 'none/', 'none/copy.bin', 'rows.bin/copy.bin', 'x'.repeat(256)]) {
      const refusal = downloadFile(millrace, id, path && `${folder}/${path}`);
      await expect(refusal).rejects.toMatchObject({ code: 'FileUnwritableError' });
    }
    expect(server.trace).not.toContain('get bytes');
    await downloadFile(millrace, id, join(folder, 'x'.repeat(255)));
    expect((await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('verifies a local file by the receipt, and answers 1 when it differs', async () => {
    const { id, bytes } = await uploaded();
    expect((await run(['verify', 'rows.bin', id])).exit).toBe(0);
    bytes.fill(1, 70_000, 70_001);
    await writeFile(join(folder, 'rows.bin'), bytes);
    const { exit, stderr } = await run(['verify', 'rows.bin', id]);
    expect(exit).toBe(1);
    expect(stderr).toContain('differs from the uploaded file');
  });

  it('tells what is used of the quotas', async () => {
    const usage = {
      stored_bytes: { used: 3 * 2 ** 30, reserved: 0, limit: 2 ** 40 },
      bytes_per_day: { used: 512, limit: 2 ** 40, resets_at: '2026-01-02T00:00:00.000Z' },
      open_sessions: { used: 2, limit: 1_000 },
    };
    server.answers['GET /usage'] = () => ({ body: usage });
    const { exit, stdout } = await run(['usage']);
    expect(exit).toBe(0);
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toMatchObject([
      ['QUOTA', 'USED', 'LIMIT'],
      ['stored bytes', '3.0 GiB', '1.0 TiB'],
      ['bytes per day', '512 B', '1.0 TiB'],
      ['open sessions', '2', '1000'],
      [''],
    ]);
    expect((await run(['--json', 'usage'])).events()).toEqual([{ type: 'usage', usage }]);
  });

  it('deletes and restores a file', async () => {
    const queries: string[] = [];
    server.answers['DELETE /files/file_1'] = (url) => {
      queries.push(String(url.search));
      return { status: 204 };
    };
    server.answers['POST /files/file_1/restore'] = () => ({ body: { id: 'file_1', name: 'rows.bin' } });
    expect((await run(['rm', 'file_1'])).stdout).toBe('file_1  deleted\n');
    expect((await run(['rm', 'file_1', '--permanent'])).stdout).toBe('file_1  deleted for good\n');
    expect(queries).toEqual(['', '?permanent=true']);
    expect((await run(['restore', 'file_1'])).stdout).toBe('file_1  rows.bin\n');
  });

  it('lists sessions that nobody goes on with', async () => {
    const upload = { id: 'upl_1', state: 'open', size_bytes: 2_048, received_bytes: 1_024, name: 'rows.bin' };
    const queries: string[] = [];
    server.answers['GET /uploads'] = (url) => {
      queries.push(url.search);
      const items = [{ ...upload, last_activity_at: '2026-01-01T00:00:00.000Z' }];
      const orphaned = { sessions: 1, bytes: 100 * 2 ** 30, usd_per_month: 2.3 };
      return { body: { items, orphaned, ...(!url.searchParams.has('cursor') && { next_cursor: 'more' }) } };
    };
    const { stdout } = await run(['ls', '--idle-seconds', '3600', '--limit', '1']);
    expect(queries).toEqual(['?state=open&idle_seconds=3600', '?state=open&idle_seconds=3600&cursor=more']);
    const [, row, ...summary] = stdout.split('\n');
    expect(summary).toEqual(['sessions: 2, received: 200 GiB, about 4.60 USD per month', '']);
    expect((await run(['--json', 'ls', '--idle-seconds', '3600'])).events().at(-1)).toEqual({
      type: 'orphaned',
      orphaned: { sessions: 2, bytes: 200 * 2 ** 30, usd_per_month: 4.6 },
    });
    expect(row?.split(/ {2,}/)).toEqual([
      'upl_1',
      'open',
      '2.0 KiB',
      '1.0 KiB',
      '2026-01-01T00:00:00.000Z',
      'rows.bin',
    ]);
  });

  it('ends quietly when the reader of a pipe goes away', async () => {
    const items = Array.from({ length: 500 }, (_, index) => ({
      id: `file_${index}`,
      name: 'x'.repeat(500),
      size_bytes: 1,
      created_at: '',
    }));
    server.answers['GET /files'] = () => ({ body: { items, next_cursor: 'more' } });
    const child = start(['--json', 'ls', '-n', '5000']);
    child.stdout?.once('data', () => child.stdout?.destroy());
    const { exit, stderr } = await finish(child);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
  });
});

describe('jobs', () => {
  it('runs a workflow on a file that it uploads first, and waits', async () => {
    await makeFile();
    playJob('completed');
    let body: unknown;
    const create = server.answers['POST /jobs'];
    server.answers['POST /jobs'] = (url, given) => {
      body = given;
      return create?.(url, given) ?? {};
    };
    const { exit, stdout } = await run([
      'run',
      'tiny',
      '--file',
      'file_id=rows.bin',
      '-i',
      'limit=5',
      '-i',
      'name=Ada',
      '--input-json',
      '{"deep":{"a":[1]}}',
      '--wait',
    ]);
    expect(exit).toBe(0);
    const fileId = [...server.sessions.values()][0]?.fileId;
    expect(body).toEqual({ workflow: 'tiny', input: { deep: { a: [1] }, limit: 5, name: 'Ada', file_id: fileId } });
    expect(stdout).toContain('summary.json');
    expect(stdout).toContain('http://x/summary');
  });

  it.each(['failed', 'cancelled'] as const)('answers 4 for a job that ends %s', async (state) => {
    playJob(state);
    const { exit, events } = await run(['--json', 'watch', JOB]);
    expect(exit).toBe(4);
    expect(events().map((event: { type: string }) => event.type)).toEqual(['job.progress', `job.${state}`, 'ended']);
  });

  it('shows a job with its tasks and artifacts', async () => {
    playJob('failed');
    const { exit, stdout } = await run(['job', JOB]);
    expect(exit).toBe(0);
    expect(stdout).toContain('failed: no rows (InputDataError)');
    expect(stdout).toMatch(/greet\s+completed\s+1/);
  });

  it('lists jobs of a time that is told by a moment, a day, or how long ago', async () => {
    const asked: URLSearchParams[] = [];
    server.answers['GET /jobs'] = (url) => {
      asked.push(url.searchParams);
      return { body: { items: [] } };
    };
    const before = Date.now();
    expect((await run(['jobs', '--since', '36h', '--until', '90s'])).exit).toBe(0);
    const [since = 0, until = 0] = ['created_after', 'created_before'].map((name) =>
      Date.parse(asked[0]?.get(name) ?? ''),
    );
    expect(until - since).toBeGreaterThanOrEqual(36 * 3_600_000 - 90_000 - 1_000);
    expect(since).toBeGreaterThanOrEqual(before - 36 * 3_600_000);
    expect(until).toBeLessThanOrEqual(Date.now() - 90_000);
    await run(['jobs', '--since', '2026-01-31', '--until', '2026-01-31T08:00:00+01:00']);
    expect(Object.fromEntries(asked[1] ?? [])).toEqual({
      created_after: '2026-01-31T00:00:00Z',
      created_before: '2026-01-31T08:00:00+01:00',
    });
  });

  it("tells a job's own measures and its last checkpoint", async () => {
    playJob('completed');
    const detail = { iterations: 12, mean_return: 312.4375 };
    const progress = { percent: 40, phase: 'update', completed_tasks: 4, total_tasks: 10, detail };
    const made = { created_at: '2026-01-01T00:00:00.000Z', size_bytes: 9, checksum_sha256: 'abc' };
    const checkpoint = { ...made, iteration: 10, age_seconds: 65 };
    const job = { id: JOB, workflow: 'training', state: 'completed', attempt: 1, progress, checkpoint };
    const common = { time: made.created_at, tenant_id: 'acme' };
    const event = { ...common, id: '1', type: 'job.progress', data: { job_id: JOB, progress }, cursor: '1' };
    const data = { job_id: JOB, state: 'completed', attempt: 1 };
    const ended = { ...common, id: '2', type: 'job.completed', data, cursor: '2' };
    server.answers[`GET /jobs/${JOB}`] = () => ({ body: job });
    server.answers[`GET /jobs/${JOB}/checkpoints`] = () => ({ body: { items: [checkpoint] } });
    server.answers[`GET /jobs/${JOB}/events`] = () => ({ body: { items: [event, ended], next_cursor: '2' } });
    const shown = await run(['job', JOB]);
    expect(shown.stdout).toContain('40 %, 4 of 10 tasks, iterations 12, mean return 312.4, update, attempt 1\n');
    expect(shown.stdout).toContain('last checkpoint: iteration 10, 1:05 ago, sha256 abc\n');
    const watched = await run(['watch', JOB]);
    expect(watched.stderr).toContain(`${JOB}: 40 % update, 4 of 10 tasks, iterations 12, mean return 312.4\n`);
    const { events } = await run(['--json', 'job', JOB]);
    expect(events()[0].checkpoints).toEqual([checkpoint]);
  });

  it('U11 tells the place of a queued job', async () => {
    playJob('failed');
    const progress = { percent: 0, phase: 'queued', completed_tasks: 0, total_tasks: 1 };
    const queued = { id: JOB, workflow: 'tiny', state: 'queued', attempt: 1, progress };
    for (const [queue_position, place] of [
      [3, 'position 3'],
      [101, 'position beyond 100'],
    ]) {
      server.answers[`GET /jobs/${JOB}`] = () => ({ body: { ...queued, queue_position } });
      expect((await run(['job', JOB])).stdout).toContain(`${JOB}  tiny  queued, ${place}\n`);
    }
  });
});

describe('bridge', () => {
  it('tells as much as it may of what its program says, in whole characters', async () => {
    const answers: unknown[] = [];
    const commands = [{ id: 'cmd_1', type: 'verify', cursor: '1', listing_id: '7' }];
    server.answers['POST /bridge/commands/receive'] = () =>
      answers.length === 0 ? { body: { items: commands, next_cursor: '1' } } : { status: 403, body: {} };
    server.answers['POST /bridge/commands/cmd_1/answer'] = (_url, body) => {
      answers.push(body);
      return { status: 204 };
    };
    const program = "process.stderr.write('x'.repeat(1999) + '😀'); process.exitCode = 1";
    await run(['bridge', '--journal', join(folder, 'journal'), '--', process.execPath, '-e', program]);
    expect(answers).toEqual([{ error: { message: `${'x'.repeat(1_999)}\ufffd`, retryable: false } }]);
  });

  it('answers a command whose program prints no result with an error that says so, and goes on', async () => {
    const outputs = {
      cmd_null: { stdout: 'null' },
      cmd_list: { stdout: '[1]' },
      cmd_text: { stdout: 'done' },
      cmd_long: { stderr: `${'x'.repeat(1_999)}🐢` },
      cmd_noted: {},
      cmd_good: { stdout: '{"photo_id":"1"}' },
    };
    const ids = Object.keys(outputs);
    await mkdir(join(folder, 'journal'));
    await writeFile(join(folder, 'journal', 'cmd_noted.json'), '[1]');
    const program = `
      const { stdout, stderr } = (${JSON.stringify(outputs)})[JSON.parse(require('fs').readFileSync(0, 'utf8')).id];
      process.stdout.write(stdout ?? '');
      process.stderr.write(stderr ?? '');
      process.exitCode = stderr ? 1 : 0;`;
    server.answers['POST /bridge/commands/receive'] = (_url, body) => {
      const at = Number((body as { after?: string }).after ?? 0);
      const items = ids.slice(at, at + 1).map((id) => ({ id, type: 'upload_image' }));
      return { body: { items, next_cursor: String(at + items.length) } };
    };
    const answered = new Map<string, { result?: unknown; error?: { message: string; retryable: boolean } }>();
    const child = start(['--json', 'bridge', '--journal', 'journal', '--', process.execPath, '-e', program]);
    for (const id of ids) {
      server.answers[`POST /bridge/commands/${id}/answer`] = (_url, body) => {
        const answer = body as { result?: { photo_id?: string }; error?: { message: string; retryable: boolean } };
        if (answer.result && !answer.result.photo_id) {
          return { status: 400, body: { error: 'ValidationError', message: 'result is not valid', details: {} } };
        }
        answered.set(id, answer);
        if (id === ids.at(-1)) child.kill();
        return { status: 204 };
      };
    }
    const { exit, events, stderr } = await finish(child);
    expect(exit).toBe(130);
    const error = (message: string) => ({ error: { message, retryable: false } });
    expect([...answered]).toEqual([
      ['cmd_null', error('the program did not print a JSON object')],
      ['cmd_list', error('the program did not print a JSON object')],
      ['cmd_text', error('the program did not print a JSON object')],
      ['cmd_long', error(`${'x'.repeat(1_999)}\ufffd`)],
      ['cmd_noted', error('the server rejected the program’s result: result is not valid')],
      ['cmd_good', { result: { photo_id: '1' } }],
    ]);
    expect(events().slice(0, 5)).toEqual(
      ids.slice(0, 5).map((id) => ({ type: 'command', command_id: id, ...answered.get(id) })),
    );
    expect(stderr).toContain('result is not valid');
    // A program that was mended does the command at the job's next attempt.
    expect((await readdir(join(folder, 'journal'))).sort()).toEqual(['cmd_good.json', 'cmd_noted.json.refused']);
  });
});

describe('errors', () => {
  it.each([
    ['an unknown command', ['fly']],
    ['a missing argument', ['upload']],
    ['a number out of bounds', ['upload', '-c', '65', 'x']],
    ['a time that is none', ['jobs', '--since', 'yesterday']],
    ['an input without a value', ['run', 'tiny', '-i', 'x']],
    ['--input-json that is no object', ['run', 'tiny', '--input-json', '[1]']],
  ])('answers 2 for %s', async (_, args) => {
    expect((await run(args)).exit).toBe(2);
  });

  it('answers 3 for what is not there, in one sentence with code and request id', async () => {
    server.answers[`GET /jobs/${JOB}`] = () => ({
      status: 404,
      body: { error: 'JobNotFoundError', message: 'no such job', details: {}, request_id: 'req-9' },
    });
    const { exit, stderr } = await run(['job', JOB]);
    expect(exit).toBe(3);
    expect(stderr).toBe('millrace: no such job (JobNotFoundError, request req-9)\n');
    const json = await run(['--json', 'job', JOB]);
    expect(json.events()).toEqual([
      { type: 'error', code: 'JobNotFoundError', message: 'no such job', request_id: 'req-9', exit_code: 3 },
    ]);
  });

  it('answers 3 without credentials and for wrong ones', async () => {
    expect((await run(['ls'], { MILLRACE_URL: '', MILLRACE_API_KEY: '' })).exit).toBe(3);
    expect((await run(['ls', '--api-key', 'mr_wrong'])).exit).toBe(3);
  });

  it('shows the stack with --verbose alone', async () => {
    expect((await run(['--verbose', 'ls', '--api-key', 'mr_wrong'])).stderr).toContain('    at ');
    expect((await run(['ls', '--api-key', 'mr_wrong'])).stderr).not.toContain('    at ');
  });
});

describe('credentials', () => {
  const none = { MILLRACE_URL: '', MILLRACE_API_KEY: '' };

  beforeEach(async () => {
    server.answers['GET /workflows'] = () => ({ body: { items: [] } });
    await mkdir(join(folder, '.millrace'));
    const credentials = JSON.stringify({ url: server.url, api_key: TEST_KEY });
    await writeFile(join(folder, '.millrace', 'credentials.json'), credentials, { mode: 0o600 });
  });

  it('are read from the file that a local server wrote', async () => {
    expect((await run(['workflows'], none)).exit).toBe(0);
  });

  it('of the file are never sent to another server', async () => {
    const other = await startScriptedServer();
    const { exit, stderr } = await run(['workflows', '--url', other.url], none);
    expect(exit).toBe(3);
    expect(stderr).toContain(`an API key for ${other.url} is missing`);
    expect(other.trace).toEqual([]);
    await other.close();
  });
});
