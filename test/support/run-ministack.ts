import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ACCOUNT, deployTo } from './deploy.ts';
import { createWorkspace } from './workspace.ts';

// Deploys the stacks, the WebSocket API with them, to a MiniStack, and runs the tests of live events there. It needs
// `pip install ministack==1.5.33 boto3 cryptography`; PYTHON names another interpreter than `python3`.
// Arguments go to vitest.

const HERE = import.meta.dirname;
const START_MS = 30_000;

async function main(folder: string): Promise<number> {
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const engine = spawn(process.env.PYTHON ?? 'python3', [join(HERE, 'start-ministack.py')], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      ...ACCOUNT,
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      MINISTACK_HOST: '127.0.0.1',
      LOG_LEVEL: 'ERROR',
    },
  });
  const kill = () => engine.kill();
  process.once('exit', kill);
  try {
    await waitUntilUp(endpoint, engine);
    const workspace = await createWorkspace();
    const settings = [`executeApiBase=${endpoint}/_aws/execute-api`];
    const { url, rootSecret } = await deployTo(endpoint, workspace.folder, settings).finally(workspace.remove);
    return await runVitest({ MILLRACE_E2E: 'ministack', MILLRACE_URL: url, MILLRACE_ROOT_SECRET: rootSecret });
  } finally {
    process.off('exit', kill);
    kill();
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

async function waitUntilUp(endpoint: string, engine: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + START_MS; ; ) {
    const answer = await fetch(`${endpoint}/_localstack/health`).catch(() => undefined);
    if (answer?.ok) return;
    if (engine.exitCode !== null || Date.now() > deadline) throw new Error('MiniStack does not start');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function runVitest(env: Readonly<Record<string, string>>): Promise<number> {
  const cli = createRequire(import.meta.url)
    .resolve('vitest/package.json')
    .replace('package.json', 'vitest.mjs');
  const args = ['run', '--project', 'e2e', 'test/e2e/live.test.ts', ...process.argv.slice(2)];
  const child = spawn(process.execPath, [cli, ...args], { stdio: 'inherit', env: { ...process.env, ...env } });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

const folder = await mkdtemp(join(tmpdir(), 'millrace-ministack-'));
process.exitCode = await main(folder).finally(() => rm(folder, { recursive: true, force: true }));
