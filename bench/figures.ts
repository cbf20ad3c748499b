export interface BenchOptions {
  /** Small files and few rounds: whether a bench runs, not what it measures. */
  readonly quick: boolean;
}

/** A measured value; `limit` is what it must keep, where there is one. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly limit?: number;
  readonly holds: boolean;
  /** Half of the rounds' values lie between these. */
  readonly quartiles?: readonly [number, number];
}

export function figure(name: string, values: number | readonly number[], unit: string): Figure {
  return { name, unit, holds: true, ...statistics(values) };
}

export function atMost(limit: number, name: string, values: number | readonly number[], unit: string): Figure {
  return { name, unit, limit, holds: median(values) <= limit, ...statistics(values) };
}

export function atLeast(limit: number, name: string, values: number | readonly number[], unit: string): Figure {
  return { name, unit, limit, holds: median(values) >= limit, ...statistics(values) };
}

function statistics(values: number | readonly number[]): Pick<Figure, 'value' | 'quartiles'> {
  const value = rounded(median(values));
  if (typeof values === 'number') return { value };
  return { value, quartiles: [rounded(quantile(values, 0.25)), rounded(quantile(values, 0.75))] };
}

export function median(values: number | readonly number[]): number {
  return typeof values === 'number' ? values : quantile(values, 0.5);
}

/** By the nearest rank; `share` is 0–1. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

/** Three digits. */
function rounded(value: number): number {
  return Number(value.toPrecision(value >= 1_000 ? 4 : 3));
}
