import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { type ContextSpec, queueVariable, tableVariable } from '../contract/context.ts';
import * as contexts from '../contract/contexts.ts';
import type { WorkflowEntry } from '../contract/workflow.ts';
import * as workflows from '../contract/workflows.ts';
import { type Bundle, bundle, contextBundle, nameOfPart, partEnvironment, partsOf, taskBundle } from '../lib/bundle.ts';
import { readSettings, settingsEnvironment } from '../lib/settings.ts';
import { atMost, type BenchOptions, type Figure, figure, median } from './figures.ts';

interface BundleFigures {
  /** Such as `uploads/api` or `inference/ScoreRange`. */
  readonly name: string;
  readonly totalBytes: number;
  /** Without the AWS SDK. */
  readonly ownBytes: number;
  /** What `ownBytes` may be at most. */
  readonly ownBudgetBytes: number;
  /** How long its code takes to load in a new process, without the start of Node.js: the median of the rounds. */
  readonly loadingMs: number;
}

/**
 * Of `ownBytes`; callers wait for an API's entry to start, nobody does for the others. Tasks bring what they compute with.
 * What breaks one by 60 KB is `zod` in place of `zod/mini` (docs/decisions/0006).
 */
const BUDGET_BYTES = { api: 140_000, other: 110_000, task: 200_000 };

/** With the packages that it alone brings. */
const AWS_SDK = /node_modules\/(@aws-sdk|@smithy|@aws-crypto|@aws|mnemonist|obliterator)\//;

/** How much code each Lambda loads when it starts, minified, and how long that takes. */
export function measureBundles(rounds: number): BundleFigures[] {
  const parent = mkdtempSync(join(tmpdir(), 'millrace-bundles-'));
  try {
    return lambdas().map(({ name, kind, environment, ...code }) => {
      const folder = join(parent, name);
      const { outputs } = bundle(code, folder);
      const entry = join(folder, 'index.mjs');
      const files = new Set(loadedFiles(entry, environment));
      const inputs = Object.entries(outputs).flatMap(([path, output]) =>
        files.has(basename(path)) ? Object.entries(output.inputs) : [],
      );
      const own = inputs.filter(([path]) => !AWS_SDK.test(path));
      const loadingMs = median(Array.from({ length: rounds }, () => Number(run(LOAD, entry, environment))));
      return { name, totalBytes: sum(inputs), ownBytes: sum(own), ownBudgetBytes: BUDGET_BYTES[kind], loadingMs };
    });
  } finally {
    rmSync(parent, { recursive: true });
  }
}

const settings = readSettings(new App());
const declared = Object.values<ContextSpec>(contexts);

/** What the entries read when they load, so that each of them does. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'id',
  AWS_SECRET_ACCESS_KEY: 'secret',
  BUCKET: 'bucket',
  BUS_NAME: 'bus',
  EVENT_CONSUMERS: JSON.stringify(
    Object.fromEntries(declared.map(({ name, consumes }) => [name, consumes?.types ?? []])),
  ),
  METRICS_NAMESPACE: 'millrace',
  MILLRACE_VERSION: '0.0.0',
  PUSH_ENDPOINT: 'https://execute-api.invalid/v1',
  ROOT_SECRET_ARN: 'arn:aws:secretsmanager:us-east-1:111111111111:secret:root',
  SECRETS_PREFIX: 'millrace/',
  SIGNING_ROLE_ARN: 'arn:aws:iam::111111111111:role/signing',
  STATE_MACHINE_ARN_PREFIX: 'arn:aws:states:us-east-1:111111111111:stateMachine:',
  ...Object.assign({}, ...declared.map((context) => settingsEnvironment(context, settings))),
  ...Object.fromEntries(declared.map(({ name }) => [tableVariable(name), name])),
  ...Object.fromEntries(declared.map(({ name }) => [queueVariable(name), `https://sqs.invalid/${name}`])),
};

const LOAD = `
  const start = performance.now();
  await import(process.argv[1]);
  process.stdout.write(String(performance.now() - start));
`;
/** An entry may import() what it needs while it loads: only the loader knows what that is. */
const LIST = `
  import { registerHooks } from 'node:module';
  registerHooks({
    load(url, context, nextLoad) {
      if (url.endsWith('.mjs')) console.log(url);
      return nextLoad(url, context);
    },
  });
  await import(process.argv[1]);
`;

function loadedFiles(entry: string, environment: Readonly<Record<string, string>>): string[] {
  return run(LIST, entry, environment)
    .trim()
    .split('\n')
    .map((url) => basename(url));
}

function run(script: string, entry: string, environment: Readonly<Record<string, string>>): string {
  const args = ['--input-type=module', '--eval', script, entry];
  return execFileSync(process.execPath, args, { env: { ...ENVIRONMENT, ...environment }, encoding: 'utf8' });
}

const ROUNDS = 5;

export async function benchBundles({ quick }: BenchOptions): Promise<Figure[]> {
  const measured = measureBundles(quick ? 1 : ROUNDS);
  return [
    ...measured.flatMap(({ name, totalBytes, ownBytes, ownBudgetBytes }) => [
      atMost(ownBudgetBytes / 1_000, `bundle ${name}: own code`, ownBytes / 1_000, 'KB'),
      figure(`bundle ${name}: with the AWS SDK`, totalBytes / 1_000, 'KB'),
    ]),
    ...measured.map(({ name, loadingMs }) => figure(`bundle ${name}: loading`, loadingMs, 'ms')),
  ];
}

interface Lambda extends Bundle {
  readonly name: string;
  readonly kind: keyof typeof BUDGET_BYTES;
  readonly environment: Readonly<Record<string, string>>;
}

function lambdas(): Lambda[] {
  const ofContexts = declared.flatMap((context) =>
    partsOf(context).map((part) => ({
      name: `${context.name}/${nameOfPart(part)}`,
      kind: part === 'api' ? ('api' as const) : ('other' as const),
      environment: partEnvironment(part),
      ...contextBundle(context.name, part),
    })),
  );
  const ofTasks = Object.values<WorkflowEntry>(workflows).flatMap((workflow) =>
    Object.entries(workflow.tasks).map(([state, task]) => ({
      name: `${workflow.name}/${state}`,
      kind: 'task' as const,
      environment: {},
      ...taskBundle(workflow, task),
    })),
  );
  // Those that special stacks add.
  const generic = new Set([...ofContexts, ...ofTasks].map(({ entry }) => entry));
  const others = globSync('lambdas/*/*.lambda.ts').filter(
    (entry) => !generic.has(entry) && !entry.includes('/runtime/'),
  );
  return [
    ...ofContexts,
    ...others.map((entry) => ({
      name: entry.replace(/^lambdas\/|\.lambda\.ts$/g, ''),
      kind: 'other' as const,
      environment: {},
      entry,
    })),
    ...ofTasks,
  ];
}

function sum(inputs: [string, { bytesInOutput: number }][]): number {
  return inputs.reduce((total, [, { bytesInOutput }]) => total + bytesInOutput, 0);
}
