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

/** How much code each Lambda loads, minified. */
export function benchBundles(): BundleSize[] {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bundles-'));
  try {
    return lambdas().map(({ name, ...code }) => {
      const inputs = Object.values(bundle(code, folder).outputs).flatMap((output) => Object.entries(output.inputs));
      const own = inputs.filter(([path]) => !/node_modules\/(@aws-sdk|@smithy|@aws-crypto)\//.test(path));
      return { name, totalBytes: sum(inputs), ownBytes: sum(own) };
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
