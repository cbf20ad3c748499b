import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import cliProgress from 'cli-progress';
import * as z from 'zod/mini';
import { Millrace, paginate } from '../client/index.ts';
import { SetupError, shortPath } from './data-folder.ts';
import { writeDemoFile } from './demo-file.ts';

const CLI = fileURLToPath(new URL('../cli/bin/millrace.js', import.meta.url));

/** What the job says in summary.json, as far as the demo compares it with what it sent. */
const Summary = z.looseObject({ rows: z.int(), scored_rows: z.int(), bad_rows: z.int() });

export interface DemoOptions {
  readonly url: string;
  readonly apiKey: string;
  /** The CSV: made unless it is there with this size or a little more. */
  readonly file: string;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
}

/**
 * The main job, as a user would do it with the CLI: makes a file, uploads it, scores its rows, shows the artifacts.
 * Answers whether all of it went right.
 */
export async function runDemo({ url, apiKey, file, sizeBytes, signal }: DemoOptions): Promise<boolean> {
  const path = shortPath(file);
  say(`1. Create a file: ${path}`);
  await makeFile(file, sizeBytes, signal);

  const cli = (...args: string[]) => runCli(args, { url, apiKey, signal });
  say(`\n2. $ npx millrace upload ${path}`);
  if ((await cli('upload', path)) !== 0) return false;

  const millrace = new Millrace({ url, apiKey });
  const fileId = newest(await millrace.files.list({ limit: 1 })).id;
  say(`\n3. $ npx millrace run inference --file file_id=${fileId} --wait`);
  if ((await cli('run', 'inference', '--file', `file_id=${fileId}`, '--wait')) !== 0) return false;

  const job = newest(await millrace.jobs.list({ limit: 1 }));
  const summary = await readSummary(millrace, job.id, signal);
  say(`\nsummary.json\n${JSON.stringify(summary, null, 2)}`);
  sayTimes(job, summary.rows);
  if (summary.scored_rows === summary.rows && summary.rows > 0) return true;
  process.stderr.write(`Only ${summary.scored_rows} of ${summary.rows} rows were scored.\n`);
  return false;
}

async function makeFile(file: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
  if (existsSync(file) && statSync(file).size >= sizeBytes) return;
  mkdirSync(dirname(file), { recursive: true });
  const { bavail, bsize } = statfsSync(dirname(file));
  // The file, its upload and its predictions.
  if (bavail * bsize < 3 * sizeBytes) {
    throw new SetupError(
      `the demo needs ${megabytes(3 * sizeBytes)} of free disk space: free some, or choose a smaller file with --size 64MB`,
    );
  }
  const bar = process.stderr.isTTY
    ? new cliProgress.SingleBar({ format: 'creating {bar} {percentage} %', barsize: 24, clearOnComplete: true })
    : undefined;
  bar?.start(sizeBytes, 0);
  const rows = await writeDemoFile(file, sizeBytes, (written) => {
    signal.throwIfAborted();
    bar?.update(Math.min(written, sizeBytes));
  }).finally(() => bar?.stop());
  say(`   ${megabytes(statSync(file).size)}, ${rows.toLocaleString('en')} rows of 16 numbers`);
}

/** The exit code. What it shows goes to the terminal directly, so that its progress bar finds its place. */
async function runCli(
  args: readonly string[],
  { url, apiKey, signal }: Pick<DemoOptions, 'url' | 'apiKey' | 'signal'>,
): Promise<number> {
  signal.throwIfAborted();
  const env = { ...process.env, MILLRACE_URL: url, MILLRACE_API_KEY: apiKey };
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'inherit', 'inherit'] });
  const stop = () => child.kill('SIGINT');
  signal.addEventListener('abort', stop, { once: true });
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
  signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  return code;
}

function newest<Item>({ items }: { items: readonly Item[] }): Item {
  const [item] = items;
  if (!item) throw new Error('the listing lacks the item that was just created');
  return item;
}

async function readSummary(millrace: Millrace, jobId: string, signal: AbortSignal): Promise<z.infer<typeof Summary>> {
  for await (const { name, url } of paginate((cursor) => millrace.jobs.artifacts(jobId, { cursor }))) {
    if (name === 'summary.json') return Summary.parse(await (await fetch(url, { signal })).json());
  }
  throw new Error(`${jobId} has no summary.json`);
}

function sayTimes(job: { started_at?: string | undefined; completed_at?: string | undefined }, rows: number): void {
  const seconds = (Date.parse(job.completed_at ?? '') - Date.parse(job.started_at ?? '')) / 1_000;
  say(`${rows.toLocaleString('en')} rows scored in ${seconds.toFixed(1)} s`);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
