import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as z from 'zod/mini';

// npm run coverage: prints what the last `npm test` has covered, by folder; coverage/index.html shows the lines.

const Counts = z.object({ total: z.number(), covered: z.number(), pct: z.union([z.number(), z.literal('Unknown')]) });
const Summary = z.record(
  z.string(),
  z.object({ lines: Counts, statements: Counts, functions: Counts, branches: Counts }),
);
const MEASURES = ['lines', 'statements', 'functions', 'branches'] as const;

const root = join(import.meta.dirname, '../..');
const { total, ...files } = Summary.parse(JSON.parse(readText('coverage/coverage-summary.json')));
const folders = new Map<string, (typeof files)[string][]>();
for (const [path, file] of Object.entries(files)) {
  const [folder = '', ...more] = relative(root, path).split('/');
  const name = folder === 'lambdas' && more.length > 1 ? `${folder}/${more[0]}` : folder;
  folders.set(name, [...(folders.get(name) ?? []), file]);
}
const rows = [...folders].sort(([a], [b]) => a.localeCompare(b)).map(([name, list]) => row(name, list));
for (const line of [`${''.padEnd(24)}${MEASURES.map((measure) => measure.padStart(12)).join('')}`, ...rows]) say(line);
if (total) say(row('in all', [total]));

function row(name: string, list: readonly (typeof files)[string][]): string {
  const cells = MEASURES.map((measure) => {
    const sum = (what: 'total' | 'covered') => list.reduce((all, file) => all + file[measure][what], 0);
    return `${((100 * sum('covered')) / Math.max(1, sum('total'))).toFixed(1)} %`.padStart(12);
  });
  return `${name.padEnd(24)}${cells.join('')}`;
}

function readText(file: string): string {
  try {
    return readFileSync(join(root, file), 'utf8');
  } catch {
    throw new Error(`${file} is missing: run npm test first, which writes it when all of its tests pass`);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
