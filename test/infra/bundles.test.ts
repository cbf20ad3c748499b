import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { measureBundles } from '../../bench/bundles.ts';
import type { TaskEntry } from '../../contract/workflow.ts';
import { inference } from '../../contract/workflows/inference.ts';
import { bundle, taskBundle } from '../../lib/bundle.ts';

describe("a Lambda's code", () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bundle-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  // Measuring throws if one doesn't load.
  test.each(measureBundles(1))(
    'loads, and stays within its budget: $name',
    ({ totalBytes, ownBytes, ownBudgetBytes }) => {
      expect(ownBytes).toBeLessThanOrEqual(ownBudgetBytes);
      // About 100 ms of loading, on one core.
      expect(totalBytes).toBeLessThanOrEqual(650_000);
    },
  );

  test('is the generic entry with the task in it, and the files that the task asks for', () => {
    const task = inference.tasks.ScoreRange as TaskEntry;
    const outputs = Object.values(bundle(taskBundle(inference, task), folder).outputs);
    const index = outputs.find(({ entryPoint }) => entryPoint === 'lambdas/jobs/task.lambda.ts');
    expect(index?.exports).toEqual(['handler']);
    expect(outputs.flatMap(({ inputs }) => Object.keys(inputs))).toContain(task.file);
    expect(readdirSync(folder)).toContain('ort-wasm-simd-threaded.wasm');
  });
});
