import { mkdirSync, writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node';

declare module 'vitest' {
  interface TaskMeta {
    /** Measures that a scenario's test reports, such as `{ megabytes_per_second: 310 }`. */
    figures?: Record<string, number>;
  }
}

/** Those whose tests play the scenarios. */
const PROJECTS: ReadonlySet<string> = new Set(['e2e', 'performance']);

/** Writes what became of each scenario to test-results/scenarios-<engine>.json. */
export default class ScenarioReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const scenarios = [];
    for (const module of modules) {
      if (!PROJECTS.has(module.project.name)) continue;
      for (const test of module.children.allTests()) {
        const [, ids, name] = /^((?:[UTMPO]\d+ )+)(.*)$/.exec(test.name) ?? [];
        if (!ids || !name) continue;
        const { state } = test.result();
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
    scenarios.sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
    writeFileSync(`test-results/scenarios-${engine}.json`, `${JSON.stringify(scenarios, null, 2)}\n`);
  }
}

/** The names of the suites that a test is in, from the outermost. */
function suitesOf(test: TestCase | TestSuite): string[] {
  const { parent } = test;
  return parent.type === 'suite' ? [...suitesOf(parent), parent.name] : [];
}
