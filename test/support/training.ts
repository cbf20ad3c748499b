import * as z from 'zod/mini';
import { TrainingInput } from '../../contract/workflows/training.ts';
import { environments } from '../../lambdas/workflows/training/environments.ts';
import { runEpisode } from '../../lambdas/workflows/training/episode.ts';
import { advance, drawPairs, initialState, mirroredWeights } from '../../lambdas/workflows/training/evolution.ts';
import { shapeFor } from '../../lambdas/workflows/training/network.ts';

/** What training without a break comes to, in one loop without jobs: the final weights and each iteration's mean return. */
export function trainHere(input: Record<string, unknown>): { weights: number[]; means: number[] } {
  const settings = TrainingInput.parse(input);
  const environment = environments[settings.environment];
  const shape = shapeFor(environment, settings.hidden_units);
  const { trajectories, pairs, noise_scale: noiseScale, learning_rate: learningRate } = settings;
  let state = initialState(shape, settings.seed);
  const means: number[] = [];
  for (let iteration = 0; iteration < settings.iterations; iteration += 1) {
    const returns = drawPairs(state, trajectories * pairs).pairs.map((pair) => {
      const [plus, minus] = mirroredWeights(state, pair, noiseScale);
      const play = (weights: Float64Array) => runEpisode(environment, shape, weights, pair.episodeSeed).total;
      return [play(plus), play(minus)] as const;
    });
    means.push(returns.flat().reduce((sum, value) => sum + value, 0) / (2 * returns.length));
    state = advance(state, returns, { noiseScale, learningRate });
  }
  return { weights: [...state.weights], means };
}

export const PolicyArtifact = z.object({
  weights: z.array(z.number()),
  training: z.object({ seed: z.int(), evaluation: z.object({ episodes: z.int(), mean_return: z.number() }) }),
});

/** The columns of a learning curve, by name. */
export function parseCurve(csv: string): Record<string, number[]> {
  const [header = '', ...lines] = csv.trimEnd().split('\n');
  const rows = lines.map((line) => line.split(',').map(Number));
  return Object.fromEntries(header.split(',').map((name, at) => [name, rows.map((row) => row[at] ?? Number.NaN)]));
}
