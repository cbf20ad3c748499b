import * as z from 'zod/mini';
import type { PredictionColumn } from './predictions.ts';

/** Classes counted one by one; the rest is counted together. */
const MAX_CLASSES = 50;

const LabelSummary = z.object({ kind: z.literal('label'), counts: z.record(z.string(), z.int()), other: z.int() });
const ScoreSummary = z.object({
  kind: z.literal('score'),
  /** Null without a finite value. */
  min: z.nullable(z.number()),
  max: z.nullable(z.number()),
  sum: z.number(),
  /** Values such as NaN: they are in no other figure. */
  not_finite: z._default(z.int(), 0),
});

/** What is known of a prediction column over some rows. */
export const ColumnSummary = z.discriminatedUnion('kind', [LabelSummary, ScoreSummary]);
export type ColumnSummary = z.infer<typeof ColumnSummary>;

export function summarizeColumn(column: PredictionColumn, rows: number): ColumnSummary {
  const at = (row: number) => Number(column.values[row * column.stride + column.offset]);
  if (column.kind === 'label') {
    const summary: ColumnSummary = { kind: 'label', counts: {}, other: 0 };
    for (let row = 0; row < rows; row += 1) addLabel(summary, String(at(row)), 1);
    return summary;
  }
  let [min, max, sum, finite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0];
  for (let row = 0; row < rows; row += 1) {
    const value = at(row);
    if (!Number.isFinite(value)) continue;
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    finite += 1;
  }
  const extremes = finite > 0 ? { min, max } : { min: null, max: null };
  return { kind: 'score', ...extremes, sum, not_finite: rows - finite };
}

/** Adds `b` to `a`, a summary of other rows of the same column. */
export function mergeSummaries(a: ColumnSummary | undefined, b: ColumnSummary): ColumnSummary {
  if (!a) return structuredClone(b);
  if (a.kind === 'label' && b.kind === 'label') {
    for (const [label, count] of Object.entries(b.counts)) addLabel(a, label, count);
    a.other += b.other;
  } else if (a.kind === 'score' && b.kind === 'score') {
    a.min = a.min === null || b.min === null ? (a.min ?? b.min) : Math.min(a.min, b.min);
    a.max = a.max === null || b.max === null ? (a.max ?? b.max) : Math.max(a.max, b.max);
    a.sum += b.sum;
    a.not_finite += b.not_finite;
  }
  return a;
}

function addLabel(summary: z.infer<typeof LabelSummary>, label: string, count: number): void {
  if (label in summary.counts || Object.keys(summary.counts).length < MAX_CLASSES) {
    summary.counts[label] = (summary.counts[label] ?? 0) + count;
  } else {
    summary.other += count;
  }
}
