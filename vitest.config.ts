import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const project = (name: string, timeoutSeconds: number, more = {}) => ({
  // The client's sources, by the name that the CLI imports them by.
  ssr: { resolve: { conditions: ['millrace-source', 'node', 'development|production'] } },
  test: {
    name,
    setupFiles: ['./test/support/setup-connections.ts'],
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutSeconds * 1_000,
    hookTimeout: timeoutSeconds * 1_000,
    expect: { requireAssertions: true, poll: { timeout: 10_000 } },
    ...more,
  },
});

// CI adds up the JSON reports of its runs.
const json = process.env.VITEST_RESULTS;

/** Chosen by `--tags-filter`. */
const tags = [
  { name: 'long', description: 'on LocalStack it runs in `npm run test:long` alone' },
  { name: 'sized', description: 'smaller on LocalStack, and of its full size there in `npm run test:long`' },
  { name: 'seed', description: 'one of the tests of M1 to M9 that `npm run test:seed` runs' },
];

// Most tests of the single machine wait for something: three files at once do well on two cores. A deployment is one for all.
const maxWorkers = process.env.MILLRACE_URL ? 1 : Math.max(3, availableParallelism() - 1);

const deployment = {
  globalSetup: './test/support/e2e-setup.ts',
  // Assertions of tests that run at the same time are counted together, and the count starts again with each of them.
  expect: { poll: { timeout: 10_000 } },
  // Functions of a deployment share the machine: more tests at once take longer in all.
  maxConcurrency: process.env.MILLRACE_URL ? 3 : 5,
};

export default defineConfig({
  test: {
    maxWorkers,
    tags,
    coverage: {
      include: ['contract', 'lambdas', 'platform', 'lib', 'server', 'client', 'cli'].map(
        (folder) => `${folder}/**/*.ts`,
      ),
      // The adapters for AWS run in `npm run test:localstack`, browsers in `npm run test:browser`. What runs in processes of
      // its own (the server, the command) counts as not covered.
      exclude: [
        '**/*.d.ts',
        'client/dist/**',
        'cli/dist/**',
        'platform/aws/**',
        'client/browser/**',
        'client/browser.ts',
      ],
      reporter: ['html', 'json-summary'],
      thresholds: { lines: 80, statements: 80, '**/transitions.ts': { 100: true } },
    },
    reporters: ['default', './test/support/scenario-reporter.ts', ...(json ? ['json'] : [])],
    ...(json ? { outputFile: { json } } : {}),
    projects: [
      project('unit', 20),
      project('integration', 30),
      project('contract', 60),
      // The assertions of the CDK's templates are not counted.
      project('infra', 120, { expect: {} }),
      project('e2e', 180, deployment),
      // What it measures, other files must not disturb: they come before it.
      project('performance', 180, { ...deployment, fileParallelism: false, sequence: { groupOrder: 1 } }),
      project('browser', 120),
    ],
  },
});
