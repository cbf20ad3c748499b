import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import type { ContextSpec } from '../contract/context.ts';
import * as contexts from '../contract/contexts.ts';
import * as workflows from '../contract/workflows.ts';
import { type Bundle, bundle, contextBundle, nameOfPart, partsOf, taskBundle } from '../lib/bundle.ts';
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
const BUDGET_BYTES = { api: 160_000, other: 110_000, task: 200_000 };

/** With the packages that it alone brings. */
const AWS_SDK = /node_modules\/(@aws-sdk|@smithy|@aws-crypto|@aws|mnemonist|obliterator)\//;

/** How much code each Lambda loads when it starts, minified, and how long that takes. */
export function measureBundles(rounds: number): BundleFigures[] {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bundles-'));
  try {
    return lambdas().map(({ name, kind, ...code }) => {
      const inputs = loadedAtStart(bundle(code, folder)).flatMap((output) => Object.entries(output.inputs));
      const own = inputs.filter(([path]) => !AWS_SDK.test(path));
      const loadingMs = median(Array.from({ length: rounds }, () => load(join(folder, 'index.mjs'))));
      return { name, totalBytes: sum(inputs), ownBytes: sum(own), ownBudgetBytes: BUDGET_BYTES[kind], loadingMs };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The entry and what it imports, without what it may import later. */
function loadedAtStart({ outputs }: Metafile): Metafile['outputs'][string][] {
  const loaded = new Set(
    Object.keys(outputs).filter((path) => outputs[path]?.entryPoint && path.endsWith('index.mjs')),
  );
  for (const path of loaded)
    for (const { kind, path: imported } of outputs[path]?.imports ?? [])
      if (kind === 'import-statement' && imported in outputs) loaded.add(imported);
  return [...loaded].flatMap((path) => outputs[path] ?? []);
}

/** What the entries read when they load, so that each of them does. */
const ENVIRONMENT = {
  AWS_REGION: 'us-east-1',
  BUCKET: 'bucket',
  BUS_NAME: 'bus',
  DELETED_FILE_DAYS: '7',
  ISSUERS: '[]',
  IDENTITY_TABLE: 'identity',
  JOBS_TABLE: 'jobs',
  MARKETPLACES: '{}',
  LIVE_TABLE: 'live',
  METRICS_NAMESPACE: 'millrace',
  MILLRACE_VERSION: '0.0.0',
  PUBLISHING_TABLE: 'publishing',
  QUOTAS: '{}',
  ROOT_SECRET_ARN: 'arn:aws:secretsmanager:us-east-1:111111111111:secret:root',
  RETRY_DELAY_SECONDS: '5',
  RUNNING_JOBS_PER_TENANT: '1',
  SECRETS_PREFIX: 'millrace/',
  SIGNING_ROLE_ARN: 'arn:aws:iam::111111111111:role/signing',
  STATE_MACHINE_ARN_PREFIX: 'arn:aws:states:us-east-1:111111111111:stateMachine:',
  UPLOADS_TABLE: 'uploads',
  WEBHOOKS_TABLE: 'webhooks',
  WEBHOOKS_TO_PRIVATE: 'false',
};
const LOAD = `
  const start = performance.now();
  await import(process.argv[1]);
  process.stdout.write(String(performance.now() - start));
`;
const ROUNDS = 5;

function load(path: string): number {
  const args = ['--input-type=module', '--eval', LOAD, path];
  return Number(execFileSync(process.execPath, args, { env: ENVIRONMENT, encoding: 'utf8' }));
}

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

function lambdas(): (Bundle & { name: string; kind: keyof typeof BUDGET_BYTES })[] {
  const ofContexts = Object.values<ContextSpec>(contexts).flatMap((context) =>
    partsOf(context).map((part) => ({
      name: `${context.name}/${nameOfPart(part)}`,
      kind: part === 'api' ? ('api' as const) : ('other' as const),
      ...contextBundle(context.name, part),
    })),
  );
  // Those that special stacks add.
  const others = globSync('lambdas/*/!(task).lambda.ts').filter(
    (file) => !ofContexts.some(({ entry }) => entry === file),
  );
  return [
    ...ofContexts,
    ...others.map((entry) => ({ name: entry.replace(/^lambdas\/|\.lambda\.ts$/g, ''), kind: 'other' as const, entry })),
    ...Object.values(workflows).flatMap((workflow) =>
      Object.entries(workflow.tasks).map(([state, task]) => ({
        name: `${workflow.name}/${state}`,
        kind: 'task' as const,
        ...taskBundle(workflow, task),
      })),
    ),
  ];
}

function sum(inputs: [string, { bytesInOutput: number }][]): number {
  return inputs.reduce((total, [, { bytesInOutput }]) => total + bytesInOutput, 0);
}
