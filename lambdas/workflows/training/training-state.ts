import * as z from 'zod/mini';
import type { JobId } from '../../../contract/common.ts';
import type { TaskContext } from '../../jobs/public.ts';
import { advance, initialState, type TrainingState } from './evolution.ts';
import { type Settings, shapeOf, UpdateOutput } from './iterations.ts';

type Context = Pick<TaskContext<Settings>, 'jobId' | 'input' | 'heartbeat' | 'outputs' | 'lastJobCheckpoint'>;

const CheckpointValue = z.object({
  weights: z.array(z.number()),
  momentum: z.array(z.number()),
  variance: z.array(z.number()),
  random: z.array(z.int()).check(z.length(4)),
});

/** What a checkpoint holds beside its iteration. JSON keeps every double to its last bit. */
export function checkpointValue({ weights, momentum, variance, random }: TrainingState) {
  return { weights: [...weights], momentum: [...momentum], variance: [...variance], random };
}

/** A tenant runs 20 jobs at once unless told otherwise; a state has at most some 20 KB. */
const MAX_KEPT = 32;
// A worker or a warm Lambda sees one iteration after the other of the same jobs.
const kept = new Map<JobId, TrainingState>();

/**
 * The state after so many iterations. Nobody stores it between checkpoints: it is made anew from the last one, or from the
 * seed, and from the returns of the iterations since, which are in the ledger.
 */
export async function loadState(ctx: Context, iterations: number): Promise<TrainingState> {
  const { input, jobId } = ctx;
  const known = kept.get(jobId);
  let state = known && known.iteration <= iterations ? known : await firstState(ctx, iterations);
  const settings = stepSettings(input);
  while (state.iteration < iterations) {
    await ctx.heartbeat();
    const [done] = await ctx.outputs('update', [state.iteration]);
    if (!done) throw new Error(`iteration ${state.iteration} is not completed, but a later one runs`);
    state = advance(state, UpdateOutput.parse(done.output).returns, settings);
  }
  kept.delete(jobId);
  kept.set(jobId, state);
  const [oldest] = kept.keys();
  if (kept.size > MAX_KEPT && oldest) kept.delete(oldest);
  return state;
}

export function stepSettings({ noise_scale, learning_rate }: Settings) {
  return { noiseScale: noise_scale, learningRate: learning_rate };
}

async function firstState(ctx: Context, iterations: number): Promise<TrainingState> {
  const checkpoint = await ctx.lastJobCheckpoint();
  if (!checkpoint || checkpoint.iteration > iterations) return initialState(shapeOf(ctx.input), ctx.input.seed);
  const { weights, momentum, variance, random } = CheckpointValue.parse(checkpoint.value);
  return {
    iteration: checkpoint.iteration,
    weights: Float64Array.from(weights),
    momentum: Float64Array.from(momentum),
    variance: Float64Array.from(variance),
    random,
  };
}
