import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { benchBig } from './big.ts';
import { benchBundles } from './bundles.ts';
import type { BenchOptions, Figure } from './figures.ts';
import { benchJobs } from './jobs.ts';
import { benchJobsOnLocalStack } from './jobs-localstack.ts';
import { benchObjectStore } from './object-store.ts';
import { benchPresign } from './presign.ts';
import { benchScale } from './scale.ts';
import { benchEmbeddedUpload, benchUpload } from './upload.ts';

interface Bench {
  readonly about: string;
  readonly run: (options: BenchOptions) => Promise<readonly Figure[]>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  upload: { about: 'the client, lib-storage, aws s3 cp and bare PUTs, against the same S3', run: benchUpload },
  'upload-embedded': {
    about: 'the client against the single machine, with and without checksums',
    run: benchEmbeddedUpload,
  },
  big: { about: 'memory and API calls for 1 and 10 GiB, against the single machine', run: benchBig },
  presign: { about: 'signing the URLs of 1,000 parts', run: benchPresign },
  jobs: { about: "the single machine's jobs, next to the same state machine without a ledger", run: benchJobs },
  'jobs-localstack': { about: 'the same on stacks deployed to LocalStack', run: benchJobsOnLocalStack },
  scale: { about: 'wide jobs, watchers, limits and training on the single machine', run: benchScale },
  'object-store': { about: "the single machine's object store, relative to what bounds it", run: benchObjectStore },
  bundles: { about: 'size and load time of each Lambda', run: benchBundles },
};

const HELP = `Runs benchmarks of Millrace. Ratios compare things that are measured side by side in one run.

npm run bench -- [OPTIONS] [NAME…]

${Object.entries(BENCHES)
  .map(([name, { about }]) => `  ${name.padEnd(16)}  ${about}`)
  .join('\n')}

  --json FILE   also write the figures as [{name, value, unit, limit, holds, quartiles}]
  --quick       use small files and few rounds, to check that the benchmarks run
  --help        show this text

Without names, all benchmarks run. BENCH_S3_ENDPOINT sets the S3 of \`upload\`: a URL, or "sink" for a server that discards what it
receives. Without it, LocalStack starts in Docker. The exit code is 1 if a figure exceeds its limit or a benchmark fails.
`;

async function main(): Promise<void> {
  const { values, positionals } = readOptions();
  if (values.help) return void process.stdout.write(HELP);
  const unknown = positionals.filter((name) => !(name in BENCHES));
  if (unknown.length > 0) throw new UsageError(`unknown benchmark: ${unknown.join(', ')}`);
  const figures: Figure[] = [];
  for (const [name, bench] of Object.entries(BENCHES)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const started = performance.now();
    process.stderr.write(`${name} …\n`);
    try {
      figures.push(...(await bench.run(values)));
    } catch (error) {
      // What the others measure in many minutes is not lost for one that lacks Docker or a network.
      process.stderr.write(`${name} failed: ${error instanceof Error ? error.stack : error}\n`);
      process.exitCode = 1;
    }
    process.stderr.write(`${name}: ${Math.round((performance.now() - started) / 1_000)} s\n`);
  }
  process.stdout.write(`${tableOf(figures)}\n`);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  if (figures.some(({ holds }) => !holds)) process.exitCode = 1;
}

class UsageError extends Error {}

function readOptions() {
  try {
    return parseArgs({
      options: {
        json: { type: 'string' },
        quick: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, limit, holds, quartiles }) => [
    name,
    `${value} ${unit}`,
    quartiles ? `(${quartiles.join('–')})` : '',
    limit === undefined ? '' : `limit ${limit} ${unit}`,
    holds ? '' : 'does not hold',
  ]);
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
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
