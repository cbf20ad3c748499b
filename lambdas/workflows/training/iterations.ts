import * as z from 'zod/mini';
import type { TrainingInput } from '../../../contract/workflows/training.ts';
import { environments } from './environments.ts';
import type { PairReturns } from './evolution.ts';
import { type Shape, shapeFor } from './network.ts';

export type Settings = z.output<typeof TrainingInput>;

/**
 * An iteration as the state machine knows it: its number from 0, and the items of its trajectories, which are numbered
 * through the whole job.
 */
export interface Iteration {
  readonly number: number;
  readonly items: readonly number[];
}

export function iteration(number: number, { trajectories }: Settings) {
  return { number, items: Array.from({ length: trajectories }, (_, at) => number * trajectories + at) };
}

export function shapeOf({ environment, hidden_units }: Settings): Shape {
  return shapeFor(environments[environment], hidden_units);
}

/**
 * Step Functions ends an execution at 25,000 events. A trajectory makes 7 and, when it is tried again, 3 more; what is around
 * them makes at most 20.
 */
const RUN_EVENTS = 12_000;

/** Iterations that one run of a job, an execution, has room for. */
export function runLength({ trajectories }: Settings): number {
  return Math.floor(RUN_EVENTS / (10 * trajectories + 20));
}

const PairReturnsSchema = z.tuple([z.number(), z.number()]);

export const TrajectoryOutput = z.object({ returns: z.array(PairReturnsSchema) });

/** What an iteration came to: all that its step of the policy is made of, and what people want to know of it. */
export const UpdateOutput = z.object({
  iteration: z.int(),
  returns: z.array(PairReturnsSchema),
  mean_return: z.number(),
  min_return: z.number(),
  max_return: z.number(),
});
export type UpdateOutput = z.infer<typeof UpdateOutput>;

export function summarize(number: number, returns: readonly PairReturns[]): UpdateOutput {
  const all = returns.flat();
  return {
    iteration: number,
    returns: returns.map(([plus, minus]) => [plus, minus]),
    mean_return: meanOf(all),
    min_return: Math.min(...all),
    max_return: Math.max(...all),
  };
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
