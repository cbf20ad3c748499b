import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ACCOUNT, deployTo } from './deploy.ts';
import { type LocalStack, startLocalStack } from './localstack.ts';
import { failedFiles, mergeSecondTry, sumUp, TestReport } from './test-report.ts';
import { createWorkspace } from './workspace.ts';

// npm run test:localstack: deploys the stacks to a LocalStack and runs the contract and e2e suites against them.
// With LOCALSTACK_ENDPOINT it is that one, else one is started and removed; --keep leaves it running for further runs.
// --long runs the tests of the tags `long` and `sized` instead (test/README.md). Other arguments go to vitest.
// A file in which something fails is run once more by itself, on the same deployment.

/** What tests the single machine's parts alone. */
const NOT_THERE = ['--exclude', 'test/contract/*-embedded.test.ts'];
const OWN_ARGUMENTS = ['--keep', '--long'];

const keep = process.argv.includes('--keep');
const long = process.argv.includes('--long');
const vitestArguments = process.argv.slice(2).filter((argument) => !OWN_ARGUMENTS.includes(argument));
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
    ...(long ? { MILLRACE_LONG: '1' } : {}),
  };
  if (keep) await sayHowToGoOn(env);
  return runTests(env);
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

/** Runs the suites, then once more each file in which something failed. Answers the exit code. */
async function runTests(env: Readonly<Record<string, string>>): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-results-'));
  try {
    const first = await runVitest(env, join(folder, 'first.json'), vitestArguments);
    let report = first.report;
    if (!report) return first.code;
    const flaky = [];
    const flags = vitestArguments.filter((argument) => !/\.test\.ts$|^test\//.test(argument));
    for (const [index, file] of failedFiles(report).entries()) {
      say(`something failed in ${file}: it is run once more`);
      const tryEnv = { ...env, MILLRACE_SECOND_TRY: '1' };
      const second = await runVitest(tryEnv, join(folder, `second-${index}.json`), [...flags, file]);
      if (!second.report) continue;
      const merged = mergeSecondTry(report, second.report);
      report = merged.report;
      flaky.push(...merged.flaky);
    }
    for (const { name, failure } of flaky) process.stdout.write(`flaky: ${name}\n  first: ${failure}\n`);
    const sums = { ...sumUp(report, isLeftOut), flaky };
    if (process.env.VITEST_RESULTS) await writeFile(process.env.VITEST_RESULTS, JSON.stringify(sums));
    const failed = failedFiles(report);
    if (failed.length === 0 && first.code !== 0 && flaky.length === 0) return first.code;
    return failed.length === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function isLeftOut(tags: readonly string[]): boolean {
  return long ? !tags.includes('long') && !tags.includes('sized') : tags.includes('long');
}

async function runVitest(
  env: Readonly<Record<string, string>>,
  results: string,
  more: readonly string[],
): Promise<{ code: number; report?: TestReport }> {
  const cli = createRequire(import.meta.url)
    .resolve('vitest/package.json')
    .replace('package.json', 'vitest.mjs');
  const projects = (long ? ['e2e', 'performance'] : ['contract', 'e2e']).flatMap((name) => ['--project', name]);
  const chosen = `--tags-filter=${long ? 'long || sized' : '!long'}`;
  const child = spawn(process.execPath, [cli, 'run', ...projects, chosen, ...NOT_THERE, ...more], {
    stdio: 'inherit',
    env: { ...process.env, ...env, VITEST_RESULTS: results },
  });
  vitest = child;
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit) => resolve(exit ?? 1));
  });
  const text = await readFile(results, 'utf8').catch(() => undefined);
  return { code, ...(text ? { report: TestReport.parse(JSON.parse(text)) } : {}) };
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
