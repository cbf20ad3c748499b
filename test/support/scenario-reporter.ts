import { mkdirSync, writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

declare module 'vitest' {
  interface TaskMeta {
    /** Measures that a scenario's test reports, such as `{ megabytes_per_second: 310 }`. */
    figures?: Record<string, number>;
  }
}

/** Writes what became of each scenario to test-results/scenarios-<engine>.json. */
export default class ScenarioReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const scenarios = [];
    for (const module of modules) {
      if (module.project.name !== 'e2e') continue;
      for (const test of module.children.allTests()) {
        const [, id, name] = /^([UTMPO]\d+) (.*)$/.exec(test.name) ?? [];
        if (!id || !name) continue;
        scenarios.push({
          id,
          name,
          result: test.result().state,
          seconds: Math.round(test.diagnostic()?.duration ?? 0) / 1_000,
          figures: test.meta().figures ?? {},
        });
      }
    }
    if (scenarios.length === 0) return;
    mkdirSync('test-results', { recursive: true });
    const engine = process.env.MILLRACE_E2E ?? 'embedded';
    scenarios.sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
    writeFileSync(`test-results/scenarios-${engine}.json`, `${JSON.stringify(scenarios, null, 2)}\n`);
  }
}
