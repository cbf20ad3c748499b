import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { ACCOUNT, deployTo } from './deploy.ts';
import { type LocalStack, startLocalStack } from './localstack.ts';
import { createWorkspace } from './workspace.ts';

// npm run test:localstack: deploys the stacks to a LocalStack and runs the contract and e2e suites against them.
// With LOCALSTACK_ENDPOINT it is that one, else one is started and removed; --keep leaves it running for further runs.
// Other arguments go to vitest.

/** What tests the single machine's parts alone. */
const NOT_THERE = ['--exclude', 'test/contract/*-embedded.test.ts'];

const keep = process.argv.includes('--keep');
const vitestArguments = process.argv.slice(2).filter((argument) => argument !== '--keep');
const started = Date.now();

let starting: Promise<LocalStack> | undefined;
let vitest: ChildProcess | undefined;
let stopping: Promise<void> | undefined;

async function main(): Promise<number> {
  const endpoint = process.env.LOCALSTACK_ENDPOINT ?? (await start());
  const workspace = await createWorkspace();
  const { url, rootSecret, sandbox } = await deployTo(endpoint, workspace.folder).finally(workspace.remove);
  say(`deployed: ${url}`);
  const env = {
    ...ACCOUNT,
    LOCALSTACK_ENDPOINT: endpoint,
    MILLRACE_E2E: 'localstack',
    MILLRACE_URL: url,
    MILLRACE_ROOT_SECRET: rootSecret,
    MILLRACE_SANDBOX: JSON.stringify(sandbox),
  };
  if (keep) await sayHowToGoOn(env);
  return runVitest(env);
}

async function start(): Promise<string> {
  starting = startLocalStack();
  const { endpoint } = await starting;
  say(`LocalStack is up: ${endpoint}`);
  return endpoint;
}

async function sayHowToGoOn(env: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(env).map(([name, value]) => `export ${name}='${value}'`);
  const stop = (await starting)?.stopCommand;
  process.stdout.write(`${[...lines, ...(stop ? ['# and to remove it:', stop] : [])].join('\n')}\n`);
}

function runVitest(env: Readonly<Record<string, string>>): Promise<number> {
  const cli = createRequire(import.meta.url)
    .resolve('vitest/package.json')
    .replace('package.json', 'vitest.mjs');
  const projects = ['contract', 'e2e', 'performance'].flatMap((name) => ['--project', name]);
  const child = spawn(process.execPath, [cli, 'run', ...projects, ...NOT_THERE, ...vitestArguments], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  vitest = child;
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

function stop(): Promise<void> {
  stopping ??= stopOnce();
  return stopping;
}

async function stopOnce(): Promise<void> {
  vitest?.kill();
  const localStack = await starting?.catch(() => undefined);
  if (!keep) await localStack?.stop();
}

function say(message: string): void {
  process.stdout.write(`[${((Date.now() - started) / 1_000).toFixed(1)} s] ${message}\n`);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => stop().finally(() => process.exit(130)));
}
try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
} finally {
  await stop();
}
