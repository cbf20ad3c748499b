// Adds up the test reports of a run: the ten slowest tests, what passed at the second try only, and as its last line
// `N passed, N failed, N skipped`.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';

const SLOWEST = 10;

const [folder, status] = process.argv.slice(2);
const total = { passed: 0, failed: 0, skipped: 0 };
const tests = [];
const flaky = [];
for (const name of readdirSync(folder).filter((file) => file.endsWith('.json'))) {
  const report = JSON.parse(readFileSync(join(folder, name), 'utf8'));
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests;
  total.skipped += report.numPendingTests + report.numTodoTests;
  flaky.push(...(report.flaky ?? []));
  for (const file of report.testResults) {
    for (const { fullName, duration } of file.assertionResults) {
      const where = `${basename(name, '.json')}, ${relative(process.cwd(), file.name)}`;
      tests.push({ seconds: (duration ?? 0) / 1_000, text: `${fullName} (${where})` });
    }
  }
}
// A step that ended the run without a failed test (a check, a deployment) is a failure all the same.
if (status !== '0' && total.failed === 0) total.failed = 1;
tests.sort((a, b) => b.seconds - a.seconds);
console.log('\nThe slowest tests:');
for (const { seconds, text } of tests.slice(0, SLOWEST)) console.log(`${seconds.toFixed(1).padStart(7)} s  ${text}`);
for (const { name, failure } of flaky) console.log(`\nflaky: ${name}\n  first: ${failure}`);
console.log(flaky.length > 0 ? `\nflaky: ${flaky.length} passed at the second try only` : '');
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
