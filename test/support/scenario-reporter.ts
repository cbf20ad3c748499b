import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node';

declare module 'vitest' {
  interface TaskMeta {
    /** Measures that a scenario's test reports, such as `{ megabytes_per_second: 310 }`. */
    figures?: Record<string, number>;
  }
}

interface Outcome {
  readonly id: string;
  readonly name: string;
  readonly result: string;
  readonly seconds: number;
  readonly figures: Record<string, number>;
}

/** Those whose tests play the scenarios. */
const PROJECTS: ReadonlySet<string> = new Set(['e2e', 'performance']);

/** Writes what became of each scenario to test-results/scenarios-<engine>.json, of the long tests to …-<engine>-long.json. */
export default class ScenarioReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    if (process.env.MILLRACE_SCENARIOS === 'none') return;
    const scenarios: Outcome[] = [];
    for (const module of modules) {
      if (!PROJECTS.has(module.project.name)) continue;
      for (const test of module.children.allTests()) {
        const [, ids, name] = /^((?:[UTMPO]\d+ )+)(.*)$/.exec(test.name) ?? [];
        if (!ids || !name) continue;
        const { state } = test.result();
        // It is left to another run.
        const isLong = test.options.tags?.some((tag) => tag === 'long' || tag === 'sized');
        if (state === 'skipped' && (isLong || process.env.MILLRACE_LONG)) continue;
        const suites = suitesOf(test).map((suite) => `${suite}: `);
        const full = `${suites.join('')}${name}`;
        const outcome = {
          // What an engine lacks is told at the end of a name: here the row of all engines is to be the same.
          name: state === 'skipped' ? full.replaceAll(/ \([^()]*\)/g, '') : full,
          result: state,
          seconds: Math.round(test.diagnostic()?.duration ?? 0) / 1_000,
          figures: test.meta().figures ?? {},
        };
        for (const id of ids.trim().split(' ')) scenarios.push({ id, ...outcome });
      }
    }
    if (scenarios.length === 0) return;
    mkdirSync('test-results', { recursive: true });
    const engine = process.env.MILLRACE_E2E ?? 'embedded';
    const file = `test-results/scenarios-${engine}${process.env.MILLRACE_LONG ? '-long' : ''}.json`;
    const kept = process.env.MILLRACE_SECOND_TRY && existsSync(file) ? withoutThese(file, scenarios) : [];
    const all = [...kept, ...scenarios].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
    writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
  }
}

/** The outcomes in a file that others do not replace. */
function withoutThese(file: string, others: readonly Outcome[]): Outcome[] {
  const before: Outcome[] = JSON.parse(readFileSync(file, 'utf8'));
  return before.filter(({ id, name }) => !others.some((other) => other.id === id && other.name === name));
}

/** The names of the suites that a test is in, from the outermost. */
function suitesOf(test: TestCase | TestSuite): string[] {
  const { parent } = test;
  return parent.type === 'suite' ? [...suitesOf(parent), parent.name] : [];
}
