import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workflows } from '../contract/workflows.ts';
import { type Bundle, bundle, taskBundle } from '../lib/bundle.ts';

export interface BundleSize {
  /** Such as `uploads/api` or `inference/ScoreRange`. */
  readonly name: string;
  readonly totalBytes: number;
  /** Without the AWS SDK. */
  readonly ownBytes: number;
}

/** With the packages that it alone brings. */
const AWS_SDK = /node_modules\/(@aws-sdk|@smithy|@aws-crypto|@aws|mnemonist|obliterator)\//;

/** How much code each Lambda loads, minified. */
export function benchBundles(): BundleSize[] {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bundles-'));
  try {
    return lambdas().map(({ name, ...code }) => {
      const inputs = Object.values(bundle(code, folder).outputs).flatMap((output) => Object.entries(output.inputs));
      const own = inputs.filter(([path]) => !AWS_SDK.test(path));
      return { name, totalBytes: sum(inputs), ownBytes: sum(own) };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the entries read when they load, so that each of them does. */
const ENVIRONMENT = {
  AWS_REGION: 'us-east-1',
  BUCKET: 'bucket',
  BUS_NAME: 'bus',
  IDENTITY_TABLE: 'identity',
  JOBS_TABLE: 'jobs',
  JWT_ISSUERS: '[]',
  MILLRACE_VERSION: '0.0.0',
  ROOT_SECRET_ARN: 'arn:aws:secretsmanager:us-east-1:111111111111:secret:root',
  RUNNING_JOBS_PER_TENANT: '1',
  SIGNING_ROLE_ARN: 'arn:aws:iam::111111111111:role/signing',
  STATE_MACHINE_ARN_PREFIX: 'arn:aws:states:us-east-1:111111111111:stateMachine:',
  UPLOADS_TABLE: 'uploads',
};
const LOAD = `
  const start = performance.now();
  await import(process.argv[1]);
  process.stdout.write(String(performance.now() - start));
`;
const ROUNDS = 5;

/** How long each Lambda's code takes to load in a new process, in milliseconds without the start of Node.js: the median. */
export function benchLoading(): { name: string; milliseconds: number }[] {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bundles-'));
  try {
    return lambdas().map(({ name, ...code }) => {
      bundle(code, folder);
      const load = () =>
        Number(
          execFileSync(process.execPath, ['--input-type=module', '--eval', LOAD, join(folder, 'index.mjs')], {
            env: ENVIRONMENT,
            encoding: 'utf8',
          }),
        );
      const times = Array.from({ length: ROUNDS }, load).sort((a, b) => a - b);
      return { name, milliseconds: times[Math.floor(ROUNDS / 2)] as number };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function lambdas(): (Bundle & { name: string })[] {
  const entries = globSync('lambdas/!(runtime)/{api,feed,!(task)-entry}.ts').sort();
  return [
    ...entries.map((entry) => ({ name: entry.replace(/^lambdas\/|(-entry)?\.ts$/g, ''), entry })),
    ...Object.values(workflows).flatMap(({ name, tasks }) =>
      Object.entries(tasks).map(([state, task]) => ({ name: `${name}/${state}`, ...taskBundle(task) })),
    ),
  ];
}

function sum(inputs: [string, { bytesInOutput: number }][]): number {
  return inputs.reduce((total, [, { bytesInOutput }]) => total + bytesInOutput, 0);
}
