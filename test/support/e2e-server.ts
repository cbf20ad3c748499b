import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const START_MS = 30_000;

export interface EmbeddedServer {
  readonly url: string;
  /** An owner's of the tenant `main`. */
  readonly apiKey: string;
  readonly rootSecret: string;
  readonly data: string;
  /** When the process has ended, in whichever way. */
  readonly ended: Promise<void>;
  /** Ends the process as a crash would. */
  kill(): Promise<void>;
  /** Ends the process in order; `close` removes the data as well, if it was made here. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

export interface EmbeddedServerOptions {
  /** The project, or a copy of it. */
  readonly root?: string;
  readonly data?: string;
  readonly port?: number;
  readonly args?: readonly string[];
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the single-machine edition as its users do, in a process of its own. */
export async function startEmbeddedServer(options: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
  const data = options.data ?? (await mkdtemp(join(tmpdir(), 'millrace-e2e-')));
  const { args = [], nodeArgs = [], port = 0, root = ROOT } = options;
  const child = spawn(
    process.execPath,
    [...nodeArgs, 'server/main.ts', '--serve-only', '--port', String(port), '--data', data, ...args],
    { cwd: root, env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = once(child, 'exit').then(() => void process.off('exit', kill));
  const url = await waitForUrl(child).catch((error: unknown) => {
    kill();
    throw error;
  });
  const read = async (file: string) => JSON.parse(await readFile(join(data, file), 'utf8')) as Record<string, string>;
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await ended;
  };
  return {
    url,
    apiKey: (await read('credentials.json')).api_key ?? '',
    rootSecret: (await read('secrets.json')).root_secret ?? '',
    data,
    ended,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    async close() {
      await end('SIGTERM');
      if (options.data === undefined) await rm(data, { recursive: true, force: true });
    },
  };
}

/** It is said when the server listens and its credentials are written. */
async function waitForUrl(child: ChildProcess): Promise<string> {
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`the server ${what}:\n${output}`));
    const timer = setTimeout(() => fail('did not start in time'), START_MS);
    child.once('exit', (code) => fail(`ended with ${code}`));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      const url = /API +(http\S+)/.exec(output)?.[1];
      if (!url) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}
