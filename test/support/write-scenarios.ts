import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { LACKS } from './capabilities.ts';
import { REQUESTED_NAMES, SCENARIOS } from './scenarios.ts';

const root = join(import.meta.dirname, '../..');

const Outcome = z.object({
  id: z.string(),
  name: z.string(),
  result: z.enum(['passed', 'failed', 'skipped', 'pending']),
  seconds: z.number(),
  figures: z.record(z.string(), z.number()),
});
type Outcome = z.infer<typeof Outcome>;

const ENGINE_NAMES: Readonly<Record<string, string>> = {
  embedded: 'the single machine',
  localstack: 'LocalStack',
  ministack: 'MiniStack',
  aws: 'AWS',
};
const ENGINES = ['embedded', 'localstack'] as const;
type Outcomes = ReadonlyMap<string, Outcome>;

/** Makes docs/scenarios.md and docs/summary.md of what the last full runs on both engines left in test-results. */
function write(): void {
  const engines = ENGINES.map(readOutcomes);
  const rows = new Map(engines.flatMap((outcomes) => [...outcomes.values()]).map((one) => [keyOf(one), one]));
  const ids = [...new Set([...rows.values()].map(({ id }) => id))].sort(byId);
  const unknown = ids.filter((id) => !(id in SCENARIOS));
  if (unknown.length > 0) throw new Error(`test/support/scenarios.ts does not say what is about: ${unknown}`);
  writeFileSync(join(root, 'docs/scenarios.md'), scenariosPage(rows, ids, engines));
  writeFileSync(join(root, 'docs/summary.md'), summaryPage(ids, engines));
}

function scenariosPage(rows: Outcomes, ids: readonly string[], engines: readonly Outcomes[]): string {
  const sorted = [...rows].sort(([a], [b]) => byId(a, b));
  const lines = sorted.map(([key, { id, name }]) => {
    const cells = engines.map((outcomes) => cell(outcomes.get(key)));
    return `| ${id} | ${name.replaceAll('|', '\\|')} | ${cells.join(' | ')} |`;
  });
  return `# Scenarios

What the end-to-end tests showed in their last full run, by scenario: on the single machine, and on the stacks deployed to
LocalStack. Made by \`npm run scenarios\` from \`test-results/\`; a dash means that the test did not run there, since it is
for the other one only or is left to \`npm run test:long\`.

| id | about |
| --- | --- |
${ids.map((id) => `| ${id} | ${SCENARIOS[id]} |`).join('\n')}

| id | behaviour | single machine | LocalStack |
| --- | --- | --- | --- |
${lines.join('\n')}
`;
}

function summaryPage(ids: readonly string[], engines: readonly Outcomes[]): string {
  const counts = ids.map((id) => {
    const cells = engines.flatMap((outcomes) => {
      const own = [...outcomes.values()].filter((outcome) => outcome.id === id);
      const count = (...results: string[]) => own.filter(({ result }) => results.includes(result)).length;
      return [count('passed'), count('failed'), count('skipped', 'pending')];
    });
    return `| ${id} | ${SCENARIOS[id]} | ${cells.join(' | ')} |`;
  });
  const decisions = readdirSync(join(root, 'docs/decisions')).sort();
  const lacks = Object.entries(LACKS).flatMap(([what, engineLacks]) =>
    Object.entries(engineLacks).map(
      ([engine, reason]) => `| ${what} | ${ENGINE_NAMES[engine] ?? engine} | ${reason} |`,
    ),
  );
  const names = REQUESTED_NAMES.map(([requested, ours, note = '']) => `| ${requested} | ${ours} | ${note} |`);
  return `# Summary

What was asked for, how much of it is tested, what was decided and what is missing. Made by \`npm run scenarios\`; the tests by
name are in [scenarios.md](scenarios.md).

## Scenarios

Numbers of tests in the last full run: passed, failed and skipped, on the single machine and on LocalStack.

| id | about | passed | failed | skipped | LocalStack: passed | failed | skipped |
| --- | --- | --- | --- | --- | --- | --- | --- |
${counts.join('\n')}

## Decisions

${decisions.map((file) => `- [${titleOf(file)}](decisions/${file})`).join('\n')}

## Known limits

What the product takes at most is in the [README](../README.md#limits). What a test needs and an engine lacks:

| needed | lacking on | reason |
| --- | --- | --- |
${lacks.join('\n')}

## Requested names

| requested | in the API | |
| --- | --- | --- |
${names.join('\n')}
`;
}

/** Of a decision, without its number. */
function titleOf(file: string): string {
  const [heading = ''] = readFileSync(join(root, 'docs/decisions', file), 'utf8').split('\n', 1);
  return heading.replace(/^# *(\d+ *[.:·]? *)?/, '');
}

/** What the long run showed fills in what the other one left to it. */
function readOutcomes(engine: string): Map<string, Outcome> {
  const files = [`scenarios-${engine}-long.json`, `scenarios-${engine}.json`].map((file) =>
    join(root, 'test-results', file),
  );
  const outcomes = files
    .filter((file, index) => index > 0 || existsSync(file))
    .flatMap((file) => z.array(Outcome).parse(JSON.parse(readFileSync(file, 'utf8'))));
  return new Map(outcomes.map((outcome) => [keyOf(outcome), outcome]));
}

const byId = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true });
const keyOf = ({ id, name }: Outcome) => `${id} ${name}`;

function cell(outcome: Outcome | undefined): string {
  if (!outcome) return '–';
  if (outcome.result !== 'passed') return outcome.result;
  const figures = Object.entries(outcome.figures).map(([name, value]) => `, ${Number(value.toPrecision(3))} ${name}`);
  return `${outcome.seconds.toFixed(1)} s${figures.join('').replaceAll('_', ' ')}`;
}

write();
