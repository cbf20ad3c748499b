import { DomainError } from '../../../contract/errors.ts';
import { inference } from '../../../contract/workflows/inference.ts';
import { defineTask } from '../../jobs/public.ts';
import { LineSplitter } from './lines.ts';
import { BadRow, RangeOutput } from './outputs.ts';
import { type ColumnSummary, mergeSummaries } from './score.ts';

/** Bad rows told in errors.ndjson; further ones are only counted in summary.json. */
const MAX_TOLD_ERRORS = 100_000;

export const task = defineTask(inference, 'assemble', async (ctx) => {
  const ranges = (await ctx.outputs('score')).map(({ output }) => RangeOutput.parse(output));
  ranges.sort((a, b) => a.item - b.item);
  const file = ctx.files.file_id;
  let [firstLine, firstRow, badRows] = [1, 0, 0];
  const parts: object[] = [];
  const errors: string[] = [];
  const summaries: ColumnSummary[] = [];
  for (const range of ranges) {
    await ctx.heartbeat();
    parts.push({
      name: range.part,
      first_row: firstRow,
      rows: range.rows,
      bad_rows: range.bad_rows,
      size_bytes: range.size_bytes,
    });
    if (range.errors && errors.length < MAX_TOLD_ERRORS) {
      const splitter = new LineSplitter();
      for await (const chunk of await ctx.objects.read(ctx.scratchKey(range.errors))) {
        for (const line of splitter.push(chunk)) {
          const error = BadRow.parse(JSON.parse(line ?? ''));
          // Lines count from 1, as editors do; rows from 0, as the predictions do.
          errors.push(JSON.stringify({ ...error, line: error.line + firstLine, row: error.row + firstRow }));
        }
      }
    }
    for (const [at, summary] of range.summaries.entries()) summaries[at] = mergeSummaries(summaries[at], summary);
    firstLine += range.lines;
    firstRow += range.rows;
    badRows += range.bad_rows;
  }
  const scored = firstRow - badRows;
  if (scored === 0) {
    await storeErrors();
    throw new DomainError(
      'InputDataError',
      `none of the ${firstRow} rows of ${file?.name} could be scored; errors.ndjson lists the reasons`,
      {
        field: 'file_id',
      },
    );
  }
  const columns = ranges.find((range) => range.columns.length > 0)?.columns ?? [];
  const summary = {
    file: { id: file?.file_id, name: file?.name, size_bytes: file?.size_bytes },
    model: ranges[0]?.model,
    rows: firstRow,
    scored_rows: scored,
    bad_rows: badRows,
    parts: parts.length,
    columns: Object.fromEntries(columns.map((name, at) => [name, present(summaries[at], scored)])),
  };
  await storeErrors();
  await storeJson('manifest.json', { columns, rows: firstRow, parts });
  await storeJson('summary.json', summary);
  return { rows: firstRow, scored_rows: scored, bad_rows: badRows, parts: parts.length };

  async function storeErrors() {
    if (errors.length === 0) return;
    const body = Buffer.from(`${errors.slice(0, MAX_TOLD_ERRORS).join('\n')}\n`);
    await ctx.artifact({ name: 'errors.ndjson', body, contentType: 'application/x-ndjson' });
  }

  async function storeJson(name: string, content: object) {
    const body = Buffer.from(`${JSON.stringify(content, null, 2)}\n`);
    await ctx.artifact({ name, body, contentType: 'application/json' });
  }
});

function present(summary: ColumnSummary | undefined, rows: number): object {
  if (summary?.kind !== 'score') return { ...summary };
  const { min, max, sum, not_finite } = summary;
  return { kind: 'score', min, max, mean: not_finite < rows ? sum / (rows - not_finite) : null, not_finite };
}
