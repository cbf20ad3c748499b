import { training } from '../../../contract/workflows/training.ts';
import { defineTask } from '../../jobs/public.ts';
import { environments } from './environments.ts';
import { runEpisode } from './episode.ts';
import { meanOf, shapeOf, UpdateOutput } from './iterations.ts';
import { learningCurveCsv, learningCurveSvg } from './learning-curve.ts';
import { writePolicy } from './policy.ts';
import { Random } from './random.ts';
import { loadState } from './training-state.ts';

export const task = defineTask(training, 'evaluate', async (ctx) => {
  const { environment: name, evaluation_episodes, iterations, seed } = ctx.input;
  const environment = environments[name];
  const shape = shapeOf(ctx.input);
  const { weights, random: words } = await loadState(ctx, iterations);
  // Goes on where the training's draws ended: these starts are new to the policy.
  const random = new Random(words);
  const returns: number[] = [];
  for (let episode = 0; episode < evaluation_episodes; episode += 1) {
    await ctx.heartbeat();
    returns.push(runEpisode(environment, shape, weights, random.next()).total);
  }
  const evaluation = {
    episodes: evaluation_episodes,
    mean_return: meanOf(returns),
    min_return: Math.min(...returns),
    max_return: Math.max(...returns),
  };
  const curve = (await ctx.outputs('update')).map(({ output }) => UpdateOutput.parse(output));
  const store = (artifact: string, text: string, contentType: string) =>
    ctx.artifact({ name: artifact, body: Buffer.from(text), contentType });
  const told = { ...ctx.input, evaluation };
  await store('policy.json', writePolicy(name, environment, shape, weights, told), 'application/json');
  await store('learning-curve.csv', learningCurveCsv(curve), 'text/csv');
  const title = `${name}, seed ${seed}: return of an episode`;
  await store('learning-curve.svg', learningCurveSvg(curve, title), 'image/svg+xml');
  ctx.gauge({ evaluation_return: evaluation.mean_return });
  return evaluation;
});
