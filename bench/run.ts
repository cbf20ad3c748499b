import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type BundleSize, benchBundles, benchLoading } from './bundles.ts';
import { benchObjectStore } from './object-store.ts';

/** A measured value; `limit` is what it must keep, where there is one. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly limit?: number;
  readonly holds: boolean;
}

const BENCHES: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  'object-store': benchObjectStore,
  bundles: async () => [...benchBundles().flatMap(bundleFigures), ...benchLoading().map(loadingFigure)],
};

const HELP = `Measures Millrace; ratios are of things measured side by side in one run.

npm run bench -- [OPTIONS] [NAME…]

NAME: ${Object.keys(BENCHES).join(', ')}; all when left out.

  --json FILE   write the figures as [{name, value, unit, limit, holds}] too
  --help

The exit code is 1 if a limit does not hold.
`;

function bundleFigures({ name, totalBytes, ownBytes, ownBudgetBytes }: BundleSize): Figure[] {
  const kilobytes = (bytes: number) => Math.round(bytes / 1_000);
  return [
    {
      name: `bundle ${name}: own code`,
      value: kilobytes(ownBytes),
      unit: 'KB',
      limit: kilobytes(ownBudgetBytes),
      holds: ownBytes <= ownBudgetBytes,
    },
    { name: `bundle ${name}: with the AWS SDK`, value: kilobytes(totalBytes), unit: 'KB', holds: true },
  ];
}

function loadingFigure({ name, milliseconds }: { name: string; milliseconds: number }): Figure {
  return { name: `bundle ${name}: loading`, value: Math.round(milliseconds), unit: 'ms', holds: true };
}

async function main(): Promise<void> {
  const { values, positionals } = readOptions();
  if (values.help) return void process.stdout.write(HELP);
  const unknown = positionals.filter((name) => !(name in BENCHES));
  if (unknown.length > 0) throw new UsageError(`there is no bench ${unknown.join(', ')}`);
  const figures: Figure[] = [];
  for (const [name, bench] of Object.entries(BENCHES)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    process.stderr.write(`${name} …\n`);
    figures.push(...(await bench()));
  }
  process.stdout.write(`${tableOf(figures)}\n`);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  if (figures.some(({ holds }) => !holds)) process.exitCode = 1;
}

class UsageError extends Error {}

function readOptions() {
  try {
    return parseArgs({
      options: { json: { type: 'string' }, help: { type: 'boolean', default: false } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, limit, holds }) => [
    name,
    `${value} ${unit}`,
    limit === undefined ? '' : `limit ${limit} ${unit}`,
    holds ? '' : 'does not hold',
  ]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n\n${HELP}`);
  process.exitCode = 2;
}
