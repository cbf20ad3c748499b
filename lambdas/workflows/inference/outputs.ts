import * as z from 'zod/mini';
import { RowFormat } from './rows.ts';
import { ColumnSummary } from './score.ts';

/** What the split found, read by the tasks after it. */
export const SplitOutput = z.object({
  rows: RowFormat,
  /** One item for each range, from 0. */
  items: z.array(z.int()),
  range_bytes: z.int(),
  /** Set when the file was unpacked: range i is the scratch object `range-<i>`, whole. */
  unpacked: z.optional(z.array(z.object({ size_bytes: z.int() }))),
});
export type SplitOutput = z.infer<typeof SplitOutput>;

/** A row that could not be scored. */
export const BadRow = z.object({ line: z.int(), row: z.int(), problem: z.string() });
export type BadRow = z.infer<typeof BadRow>;

/** What a range gave; lines and rows count from 0 in the range. */
export const RangeOutput = z.object({
  item: z.int(),
  part: z.string(),
  lines: z.int(),
  rows: z.int(),
  bad_rows: z.int(),
  size_bytes: z.int(),
  columns: z.array(z.string()),
  summaries: z.array(ColumnSummary),
  model: z.string(),
  /** Scratch object with the bad rows, one JSON `BadRow` a line. */
  errors: z.optional(z.string()),
});
export type RangeOutput = z.infer<typeof RangeOutput>;
