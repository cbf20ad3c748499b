import { inference } from '../../../contract/workflows/inference.ts';
import { defineTask } from '../../jobs/public.ts';
import { type Line, readLines } from './lines.ts';
import { loadModel } from './model.ts';
import { type BadRow, type RangeOutput, SplitOutput } from './outputs.ts';
import type { Model, PredictionColumn } from './predictions.ts';
import { parseRow, type RowFormat } from './rows.ts';
import { type ColumnSummary, mergeSummaries, summarizeColumn } from './score.ts';

/** Rows scored at once: 4,096 rows of 100 columns are 1.6 MB. */
const BATCH_ROWS = 4_096;
/** Bad rows told one by one for each range; further ones are only counted. */
const MAX_TOLD_ERRORS = 1_000;

export const task = defineTask(inference, 'score', async (ctx) => {
  const item = ctx.item ?? 0;
  const split = SplitOutput.parse((await ctx.outputs('split'))[0]?.output);
  const file = ctx.files.file_id;
  if (!file) throw new Error('a job of inference has a file');
  const unpacked = split.unpacked?.[item];
  const object = unpacked
    ? { key: ctx.scratchKey(`range-${item}`), sizeBytes: unpacked.size_bytes }
    : { key: file.object_key, sizeBytes: file.size_bytes };
  const start = unpacked ? 0 : item * split.range_bytes;
  const range = { start, end: unpacked ? object.sizeBytes : Math.min(start + split.range_bytes, object.sizeBytes) };

  const scorer = new RangeScorer(split.rows, await loadModel(ctx, split.rows.columns.length));
  let skipHeader = split.rows.format === 'csv' && item === 0;
  for await (const lines of readLines(ctx.objects, object, range)) {
    await ctx.heartbeat();
    for (const line of lines) {
      if (skipHeader) {
        skipHeader = false;
        scorer.skipLine();
      } else if (scorer.add(line)) {
        await scorer.flush();
        await ctx.heartbeat();
      }
    }
  }
  await scorer.flush();

  const part = `predictions-${String(item).padStart(5, '0')}.csv`;
  const body = Buffer.from(scorer.csv());
  await ctx.artifact({ name: part, body, contentType: 'text/csv' });
  const errors = scorer.errors.length > 0 ? `errors-${item}` : undefined;
  if (errors) {
    const told = Buffer.from(scorer.errors.map((error) => `${JSON.stringify(error)}\n`).join(''));
    await ctx.objects.put({ key: ctx.scratchKey(errors), body: told, contentType: 'application/x-ndjson' });
  }
  ctx.count({ rows: scorer.rows, bad_rows: scorer.badRows });
  return {
    item,
    part,
    lines: scorer.lines,
    rows: scorer.rows,
    bad_rows: scorer.badRows,
    size_bytes: body.length,
    columns: scorer.columns,
    summaries: scorer.summaries,
    model: scorer.model.name,
    ...(errors ? { errors } : {}),
  } satisfies RangeOutput;
});

/** Scores lines in batches. Row i of its predictions is row i of the range: a bad row's fields are empty. */
class RangeScorer {
  readonly errors: BadRow[] = [];
  readonly model: Model;
  columns: string[] = [];
  summaries: ColumnSummary[] = [];
  lines = 0;
  rows = 0;
  badRows = 0;
  readonly #format: RowFormat;
  readonly #features: Float32Array;
  #good = 0;
  /** Of the rows of this batch, in order, whether they are in the model's input. */
  #batch: boolean[] = [];
  #csv: string[] = [];

  constructor(format: RowFormat, model: Model) {
    this.#format = format;
    this.model = model;
    this.#features = new Float32Array(BATCH_ROWS * format.columns.length);
  }

  skipLine(): void {
    this.lines += 1;
  }

  /** Whether the batch is full. */
  add(line: Line): boolean {
    this.lines += 1;
    if (line === '') return false;
    const problem = parseRow(line, this.#format, this.#features, this.#good * this.#format.columns.length);
    this.#batch.push(problem === undefined);
    if (problem === undefined) this.#good += 1;
    else {
      this.badRows += 1;
      if (this.errors.length < MAX_TOLD_ERRORS) this.errors.push({ line: this.lines - 1, row: this.rows, problem });
    }
    this.rows += 1;
    return this.#batch.length >= BATCH_ROWS;
  }

  async flush(): Promise<void> {
    const scored = this.#good > 0 ? await this.#score() : [];
    let next = 0;
    for (const good of this.#batch) this.#csv.push(good ? (scored[next++] ?? '') : '');
    this.#good = 0;
    this.#batch = [];
  }

  csv(): string {
    const empty = ','.repeat(Math.max(0, this.columns.length - 1));
    return [this.columns.join(','), ...this.#csv.map((row) => row || empty), ''].join('\n');
  }

  async #score(): Promise<string[]> {
    const width = this.#format.columns.length;
    const columns = await this.model.score(this.#features.subarray(0, this.#good * width), this.#good);
    this.columns = columns.map((column) => column.name);
    this.summaries = columns.map((column, at) =>
      mergeSummaries(this.summaries[at], summarizeColumn(column, this.#good)),
    );
    return Array.from({ length: this.#good }, (_, row) => columns.map((column) => format(column, row)).join(','));
  }
}

function format(column: PredictionColumn, row: number): string {
  const value = column.values[row * column.stride + column.offset];
  // A float32 has at most 9 significant digits.
  return typeof value === 'number' && column.kind === 'score' ? String(Number(value.toPrecision(9))) : String(value);
}
