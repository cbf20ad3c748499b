import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { failedFiles, mergeSecondTry, sumUp, TestReport } from '../support/test-report.ts';

const report = (files: Readonly<Record<string, Readonly<Record<string, string>>>>, message = '') =>
  TestReport.parse({
    testResults: Object.entries(files).map(([name, tests]) => ({
      name: join(process.cwd(), name),
      status: message || Object.values(tests).includes('failed') ? 'failed' : 'passed',
      message,
      assertionResults: Object.entries(tests).map(([fullName, status]) => ({
        fullName,
        status,
        duration: 1_500,
        failureMessages: status === 'failed' ? [`${fullName} is wrong\n    at line 1`] : [],
      })),
    })),
  });

describe('a second try', () => {
  test('decides on what failed in the first one; what passes is flaky, with its first failure', () => {
    const first = report({
      'a.test.ts': { one: 'failed', two: 'failed', three: 'passed' },
      'b.test.ts': { four: 'passed' },
    });
    const second = report({ 'a.test.ts': { one: 'passed', two: 'failed', three: 'passed' } });
    const merged = mergeSecondTry(first, second);
    expect(merged.flaky).toEqual([{ name: 'a.test.ts > one', failure: 'one is wrong' }]);
    expect(failedFiles(merged.report)).toEqual([join(process.cwd(), 'a.test.ts')]);
    expect(sumUp(merged.report, () => false)).toMatchObject({ numPassedTests: 3, numFailedTests: 1 });
  });

  test('leaves nothing failed when all of the file passes', () => {
    const merged = mergeSecondTry(
      report({ 'a.test.ts': { one: 'failed' } }),
      report({ 'a.test.ts': { one: 'passed' } }),
    );
    expect(failedFiles(merged.report)).toEqual([]);
  });

  test('shows as flaky what fails in it after it has passed', () => {
    const first = report({ 'a.test.ts': { one: 'failed', two: 'passed' } });
    const { flaky, report: merged } = mergeSecondTry(first, report({ 'a.test.ts': { one: 'passed', two: 'failed' } }));
    expect(flaky.map(({ name }) => name)).toEqual(['a.test.ts > one', 'a.test.ts > two']);
    expect(sumUp(merged, () => false)).toMatchObject({ numPassedTests: 2, numFailedTests: 0 });
  });

  test('replaces a file that failed outside of its tests', () => {
    const first = report({ 'a.test.ts': { one: 'skipped' } }, 'beforeAll threw\nat line 1');
    const { flaky, report: merged } = mergeSecondTry(first, report({ 'a.test.ts': { one: 'passed' } }));
    expect(flaky).toEqual([{ name: 'a.test.ts', failure: 'beforeAll threw' }]);
    expect(sumUp(merged, () => false)).toMatchObject({ numPassedTests: 1, numPendingTests: 0 });
  });
});

test('tests that are left to another run are not counted as skipped', () => {
  const { testResults } = report({ 'a.test.ts': { one: 'passed', two: 'skipped', three: 'skipped' } });
  const [, two] = testResults[0]?.assertionResults ?? [];
  two?.tags.push('long');
  const sums = sumUp({ testResults }, (tags) => tags.includes('long'));
  expect(sums).toMatchObject({ numPassedTests: 1, numPendingTests: 1 });
});

describe('the summary of a run', () => {
  const summarize = (status: number, ...reports: object[]): string[] => {
    const folder = mkdtempSync(join(tmpdir(), 'summary-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    for (const [index, one] of reports.entries()) writeFileSync(join(folder, `run-${index}.json`), JSON.stringify(one));
    return execFileSync(process.execPath, ['.ci/summary.mjs', folder, String(status)], { encoding: 'utf8' })
      .trimEnd()
      .split('\n');
  };

  test('ends with the counts on a line of their own, after the slowest tests', () => {
    const one = sumUp(report({ 'a.test.ts': { one: 'passed', two: 'failed', three: 'skipped' } }), () => false);
    const lines = summarize(1, one, one);
    expect(lines.at(-1)).toBe('2 passed, 2 failed, 2 skipped');
    expect(lines).toContain('    1.5 s  one (run-0, a.test.ts)');
  });

  test('says how many tests passed at the second try only, right above the counts', () => {
    const flaky = [{ name: 'a.test.ts > one', failure: 'one is wrong' }];
    const lines = summarize(0, { ...sumUp(report({ 'a.test.ts': { one: 'passed' } }), () => false), flaky });
    expect(lines.slice(-2)).toEqual(['flaky: 1 passed at the second try only', '1 passed, 0 failed, 0 skipped']);
    expect(lines.join('\n')).toContain('flaky: a.test.ts > one\n  first: one is wrong');
  });

  test('counts a run that ended without a failed test as a failure', () => {
    expect(summarize(1).at(-1)).toBe('0 passed, 1 failed, 0 skipped');
  });
});
