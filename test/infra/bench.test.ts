import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

describe('the bench', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-test-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const run = (...args: string[]) => spawnSync(process.execPath, ['bench/run.ts', ...args], { encoding: 'utf8' });

  test('prints its figures, writes them as JSON, and its exit code says whether they hold', () => {
    const file = join(folder, 'figures.json');
    const { status, stdout } = run('--quick', '--json', file, 'presign');
    const figures = JSON.parse(readFileSync(file, 'utf8')) as { name: string; holds: boolean }[];
    const shape = { value: expect.any(Number), unit: 'ms', limit: 150, holds: expect.any(Boolean) };
    expect(figures).toEqual([
      expect.objectContaining({ name: 'sign 1000 URLs: S3', ...shape }),
      expect.objectContaining({ name: 'sign 1000 URLs: single machine', ...shape }),
    ]);
    for (const { name } of figures) expect(stdout).toContain(name);
    expect(status).toBe(figures.every(({ holds }) => holds) ? 0 : 1);
  });

  test('names the benches when it is asked for one that there is not', () => {
    const { status, stderr } = run('nope');
    expect(status).toBe(2);
    expect(stderr).toMatch(/unknown benchmark: nope[\s\S]+upload[\s\S]+bundles/);
  });
});
