import { training } from '../../../contract/workflows/training.ts';
import { defineTask } from '../../jobs/public.ts';
import { environments } from './environments.ts';
import { runEpisode } from './episode.ts';
import { drawPairs, mirroredWeights, type PairReturns } from './evolution.ts';
import { shapeOf } from './iterations.ts';
import { loadState } from './training-state.ts';

export const task = defineTask(training, 'trajectory', async (ctx) => {
  const { environment, trajectories, pairs, noise_scale } = ctx.input;
  const item = ctx.item ?? 0;
  const state = await loadState(ctx, Math.floor(item / trajectories));
  const first = (item % trajectories) * pairs;
  const mine = drawPairs(state, trajectories * pairs).pairs.slice(first, first + pairs);
  const returns: PairReturns[] = [];
  for (const pair of mine) {
    await ctx.heartbeat();
    const [plus, minus] = mirroredWeights(state, pair, noise_scale);
    const play = (weights: Float64Array) =>
      runEpisode(environments[environment], shapeOf(ctx.input), weights, pair.episodeSeed).total;
    returns.push([play(plus), play(minus)]);
  }
  return { returns };
});
