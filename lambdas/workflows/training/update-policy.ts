import { training } from '../../../contract/workflows/training.ts';
import { defineTask } from '../../jobs/public.ts';
import { advance } from './evolution.ts';
import { iteration, runLength, summarize, TrajectoryOutput } from './iterations.ts';
import { checkpointValue, loadState, stepSettings } from './training-state.ts';

export const task = defineTask(training, 'update', async (ctx) => {
  const { iterations, checkpoint_every } = ctx.input;
  const current = iteration(ctx.item ?? 0, ctx.input);
  const trajectories = await ctx.outputs('trajectory', current.items);
  const returns = trajectories.flatMap(({ output }) => TrajectoryOutput.parse(output).returns);
  const done = current.number + 1;
  if (done % checkpoint_every === 0) {
    const state = advance(await loadState(ctx, current.number), returns, stepSettings(ctx.input));
    // This very task may still fail: so an attempt that goes on from here begins with its iteration.
    await ctx.saveJobCheckpoint({ iteration: done, value: checkpointValue(state), continued: current });
  }
  const summary = summarize(current.number, returns);
  ctx.count({ iterations: 1 });
  ctx.gauge({ mean_return: summary.mean_return });
  // State machines, and ledgers, of data version 1 know the end of a run as `next_leg`: executions of theirs may be under way.
  const then = done === iterations ? 'evaluate' : done % runLength(ctx.input) === 0 ? 'next_leg' : 'next_iteration';
  return { ...summary, next: iteration(done, ctx.input), then };
});
