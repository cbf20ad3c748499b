import { relative } from 'node:path';
import * as z from 'zod/mini';

const TestOutcome = z.looseObject({
  fullName: z.string(),
  status: z.string(),
  failureMessages: z.nullish(z.array(z.string())),
  tags: z._default(z.array(z.string()), []),
});
const FileOutcome = z.looseObject({
  name: z.string(),
  status: z.string(),
  message: z._default(z.string(), ''),
  assertionResults: z.array(TestOutcome),
});
/** What vitest's JSON reporter writes, as far as it is read here. */
export const TestReport = z.object({ testResults: z.array(FileOutcome) });
export type TestReport = z.infer<typeof TestReport>;
type FileOutcome = z.infer<typeof FileOutcome>;

/** A test, or a whole file, that passed in one of two tries. */
export interface Flaky {
  readonly name: string;
  readonly failure: string;
}

/** The files in which something failed, be it outside of a test. */
export function failedFiles({ testResults }: TestReport): string[] {
  return testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);
}

/** The report of both tries: the second one decides on what failed in the first. */
export function mergeSecondTry(first: TestReport, second: TestReport): { report: TestReport; flaky: Flaky[] } {
  const flaky: Flaky[] = [];
  const testResults = first.testResults.map((file) => {
    const again = second.testResults.find(({ name }) => name === file.name);
    if (!again) return file;
    const failures = file.assertionResults.filter(({ status }) => status === 'failed');
    // What failed outside of the tests, as in a hook, kept some of them from running.
    if (failures.length === 0 && file.status === 'failed') {
      if (again.status === 'passed') flaky.push({ name: pathOf(file), failure: firstLine(file.message) });
      return again;
    }
    const assertionResults = file.assertionResults.map((test) => {
      const next = again.assertionResults.find(({ fullName }) => fullName === test.fullName) ?? test;
      const [failed] = [test, next].filter(({ status }) => status === 'failed');
      if (!failed || next.status === test.status) return next;
      const failure = firstLine(failed.failureMessages?.[0] ?? '');
      flaky.push({ name: `${pathOf(file)} > ${test.fullName}`, failure });
      return test.status === 'failed' ? next : test;
    });
    const isFailed = assertionResults.some(({ status }) => status === 'failed');
    return { ...file, assertionResults, status: isFailed ? 'failed' : 'passed' };
  });
  return { report: { testResults }, flaky };
}

/** Adds the sums that vitest's own reports have. Without what `isLeftOut`: it was to run elsewhere. */
export function sumUp({ testResults }: TestReport, isLeftOut: (tags: readonly string[]) => boolean) {
  const files = testResults.map((file) => ({
    ...file,
    assertionResults: file.assertionResults.filter(({ status, tags }) => isRun(status) || !isLeftOut(tags)),
  }));
  const count = (...states: string[]) =>
    files.flatMap(({ assertionResults }) => assertionResults).filter(({ status }) => states.includes(status)).length;
  return {
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: count('pending', 'skipped'),
    numTodoTests: count('todo'),
    testResults: files,
  };
}

const isRun = (status: string) => status === 'passed' || status === 'failed';
const pathOf = ({ name }: FileOutcome) => relative(process.cwd(), name);
const firstLine = (text: string) => text.split('\n', 1)[0] ?? '';
