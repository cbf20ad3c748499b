import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

// npm run test:seed: runs one test of each of M1 to M9 on the single machine, and fails if they take too long in all.

const MAX_SECONDS = 30;
const FILES = ['publishing', 'bridge', 'batches'].map((name) => `test/e2e/${name}.test.ts`);

const cli = createRequire(import.meta.url)
  .resolve('vitest/package.json')
  .replace('package.json', 'vitest.mjs');
const started = performance.now();
const { status } = spawnSync(process.execPath, [cli, 'run', '--project', 'e2e', '--tags-filter=seed', ...FILES], {
  stdio: 'inherit',
  // They are a part of what `npm test` shows.
  env: { ...process.env, MILLRACE_SCENARIOS: 'none' },
});
const seconds = (performance.now() - started) / 1_000;
process.stdout.write(`M1 to M9 took ${seconds.toFixed(1)} s; ${MAX_SECONDS} s are allowed\n`);
if (seconds > MAX_SECONDS) process.exitCode = 1;
if (status !== 0) process.exitCode = status ?? 1;
