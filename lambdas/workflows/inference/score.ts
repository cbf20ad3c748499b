import * as z from 'zod/mini';
import type { PredictionColumn } from './model.ts';

/** Classes counted one by one; the rest is counted together. */
const MAX_CLASSES = 50;

const LabelSummary = z.object({ kind: z.literal('label'), counts: z.record(z.string(), z.int()), other: z.int() });
const ScoreSummary = z.object({ kind: z.literal('score'), min: z.number(), max: z.number(), sum: z.number() });

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
  let [min, max, sum] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (let row = 0; row < rows; row += 1) {
    const value = at(row);
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { kind: 'score', min, max, sum };
}

/** Adds `b` to `a`, a summary of other rows of the same column. */
export function mergeSummaries(a: ColumnSummary | undefined, b: ColumnSummary): ColumnSummary {
  if (!a) return structuredClone(b);
  if (a.kind === 'label' && b.kind === 'label') {
    for (const [label, count] of Object.entries(b.counts)) addLabel(a, label, count);
    a.other += b.other;
  } else if (a.kind === 'score' && b.kind === 'score') {
    a.min = Math.min(a.min, b.min);
    a.max = Math.max(a.max, b.max);
    a.sum += b.sum;
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
