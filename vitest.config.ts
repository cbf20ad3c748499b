import { defineConfig } from 'vitest/config';

const project = (name: string, timeoutSeconds: number, more = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutSeconds * 1_000,
    hookTimeout: timeoutSeconds * 1_000,
    ...more,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', 20),
      project('contract', 60),
      project('infra', 120),
      project('e2e', 180),
      project('browser', 120),
    ],
  },
});
