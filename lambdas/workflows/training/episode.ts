import type { Environment } from './environments.ts';
import { evaluate, type Shape } from './network.ts';
import { Random } from './random.ts';

export interface Episode {
  /** The sum of its rewards. */
  readonly total: number;
  readonly steps: number;
}

/** One episode of the policy from the start that the seed draws. */
export function runEpisode(environment: Environment, shape: Shape, weights: Float64Array, seed: number): Episode {
  const { scale, maxSteps } = environment;
  let state = environment.start(Random.seeded(seed));
  let total = 0;
  for (let steps = 1; ; steps += 1) {
    const seen = environment.observe(state).map((value, at) => value / (scale[at] ?? 1));
    const step = environment.step(state, chooseAction(evaluate(shape, weights, seen)));
    total += step.reward;
    if (step.terminated || steps === maxSteps) return { total, steps };
    state = step.state;
  }
}

/** The one with the greatest output; of equal ones the first. */
export function chooseAction(outputs: readonly number[]): number {
  return outputs.indexOf(Math.max(...outputs));
}
