import type { Environment } from './environments.ts';
import type { Random } from './random.ts';

/** How many numbers go in, through how many hidden units (0 for none), and come out. */
export interface Shape {
  readonly inputs: number;
  readonly hidden: number;
  readonly outputs: number;
}

export function shapeFor({ observations, actions }: Environment, hidden: number): Shape {
  return { inputs: observations.length, hidden, outputs: actions };
}

export function countWeights({ inputs, hidden, outputs }: Shape): number {
  return hidden === 0 ? (inputs + 1) * outputs : (inputs + 1) * hidden + (hidden + 1) * outputs;
}

/** Hidden units see different mixtures from the start; the outputs begin at 0, so that no action is preferred. */
export function initialWeights(shape: Shape, random: Random): Float64Array {
  const weights = new Float64Array(countWeights(shape));
  if (shape.hidden > 0) {
    const first = random.normals(shape.inputs * shape.hidden);
    for (const [at, draw] of first.entries()) weights[at] = draw / Math.sqrt(shape.inputs);
  }
  return weights;
}

/**
 * What the network answers: `outputs` sums over tanh units, or over the inputs themselves when there are none. The weights
 * are, layer by layer: one for each input of each unit, unit after unit, then one bias a unit.
 */
export function evaluate(
  { inputs, hidden, outputs }: Shape,
  weights: Float64Array,
  values: readonly number[],
): readonly number[] {
  if (hidden === 0) return layer(weights, 0, values, inputs, outputs);
  const units = layer(weights, 0, values, inputs, hidden).map(Math.tanh);
  return layer(weights, (inputs + 1) * hidden, units, hidden, outputs);
}

function layer(weights: Float64Array, from: number, values: readonly number[], width: number, units: number): number[] {
  const sums = new Array<number>(units);
  const biases = from + width * units;
  for (let unit = 0; unit < units; unit += 1) {
    let sum = weights[biases + unit] as number;
    const row = from + unit * width;
    for (let at = 0; at < width; at += 1) sum += (weights[row + at] as number) * (values[at] as number);
    sums[unit] = sum;
  }
  return sums;
}
