import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { benchBundles } from '../../bench/bundles.ts';
import { KIB } from '../../contract/limits.ts';
import { inference, type TaskEntry } from '../../contract/workflows.ts';
import { bundle, taskBundle } from '../../lib/bundle.ts';

describe("a Lambda's code", () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bundle-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  // About 100 ms of loading, on one core.
  test.each(benchBundles())('stays within its budget: $name', ({ totalBytes, ownBytes }) => {
    expect(totalBytes).toBeLessThan(800 * KIB);
    expect(ownBytes).toBeLessThan(300 * KIB);
  });

  test('is the generic entry with the task in it, and the files that the task asks for', () => {
    const task = inference.tasks.ScoreRange as TaskEntry;
    const [output] = Object.values(bundle(taskBundle(task), folder).outputs);
    expect(output?.exports).toEqual(['handler']);
    expect(Object.keys(output?.inputs ?? {})).toContain(task.file);
    expect(readdirSync(folder)).toContain('ort-wasm-simd-threaded.wasm');
  });
});
