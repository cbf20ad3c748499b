import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';

const root = join(import.meta.dirname, '../..');

const Outcome = z.object({
  id: z.string(),
  name: z.string(),
  result: z.enum(['passed', 'failed', 'skipped', 'pending']),
  seconds: z.number(),
  figures: z.record(z.string(), z.number()),
});
type Outcome = z.infer<typeof Outcome>;

/** Makes docs/scenarios.md of what the last full runs on both engines left in test-results. */
function write(): void {
  const engines = ['embedded', 'localstack'].map(readOutcomes);
  const rows = new Map(engines.flatMap((outcomes) => [...outcomes.values()]).map((one) => [keyOf(one), one]));
  const sorted = [...rows].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  const lines = sorted.map(([key, { id, name }]) => {
    const cells = engines.map((outcomes) => cell(outcomes.get(key)));
    return `| ${id} | ${name.replaceAll('|', '\\|')} | ${cells.join(' | ')} |`;
  });
  const text = `# Scenarios

What the end-to-end tests showed in their last full run, by scenario: on the single machine, and on the stacks deployed to
LocalStack. Made by \`npm run scenarios\` from \`test-results/\`; a dash means that the test is for the other one only.

| id | behaviour | single machine | LocalStack |
| --- | --- | --- | --- |
${lines.join('\n')}
`;
  writeFileSync(join(root, 'docs/scenarios.md'), text);
}

function readOutcomes(engine: string): Map<string, Outcome> {
  const text = readFileSync(join(root, `test-results/scenarios-${engine}.json`), 'utf8');
  return new Map(
    z
      .array(Outcome)
      .parse(JSON.parse(text))
      .map((outcome) => [keyOf(outcome), outcome]),
  );
}

const keyOf = ({ id, name }: Outcome) => `${id} ${name}`;

function cell(outcome: Outcome | undefined): string {
  if (!outcome) return '–';
  if (outcome.result !== 'passed') return outcome.result;
  const figures = Object.entries(outcome.figures).map(([name, value]) => `, ${Number(value.toPrecision(3))} ${name}`);
  return `${outcome.seconds.toFixed(1)} s${figures.join('').replaceAll('_', ' ')}`;
}

write();
