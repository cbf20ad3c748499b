import * as z from 'zod/mini';
import { workflow } from '../workflow.ts';

/** A job of `training` has its tasks from the start: 50 transactions, which take some seconds of the 29 that a request has. */
const MAX_TRAINING_TASKS = 5_000;
/** Of an iteration: their returns are in the output of one task. */
const MAX_EPISODES = 2_000;

const between = (low: number, high: number) => [z.minimum(low), z.maximum(high)] as const;

export const TrainingInput = z
  .strictObject({
    environment: z
      ._default(z.enum(['cartpole', 'acrobot']), 'cartpole')
      .check(z.describe('Problem that the policy controls')),
    seed: z
      ._default(z.int().check(...between(0, 2 ** 32 - 1)), 1)
      .check(z.describe('The same seed and settings produce the same policy, bit for bit')),
    iterations: z
      ._default(z.int().check(...between(1, 2_000)), 30)
      .check(z.describe('Number of updates of the policy')),
    trajectories: z._default(z.int().check(...between(1, 40)), 8).check(z.describe('Parallel tasks per iteration')),
    pairs: z._default(z.int().check(...between(1, 100)), 8).check(z.describe('Pairs of mirrored episodes per task')),
    noise_scale: z
      ._default(z.number().check(...between(1e-4, 10)), 0.1)
      .check(z.describe('Standard deviation of the noise on the weights')),
    learning_rate: z._default(z.number().check(...between(1e-6, 1)), 0.05),
    hidden_units: z
      ._default(z.int().check(...between(0, 64)), 16)
      .check(z.describe('Hidden units of the network; 0 makes a linear policy')),
    checkpoint_every: z
      ._default(z.int().check(...between(1, 1_000)), 5)
      .check(z.describe('Iterations between checkpoints')),
    evaluation_episodes: z
      ._default(z.int().check(...between(1, 1_000)), 20)
      .check(z.describe('Episodes that evaluate the trained policy, from new starts')),
  })
  .check(
    z.refine(({ iterations, trajectories }) => iterations * (trajectories + 1) <= MAX_TRAINING_TASKS, {
      error: `iterations * (trajectories + 1) must be at most ${MAX_TRAINING_TASKS}: use fewer trajectories with more pairs`,
      path: ['iterations'],
    }),
    z.refine(({ trajectories, pairs }) => 2 * trajectories * pairs <= MAX_EPISODES, {
      error: `2 * trajectories * pairs must be at most ${MAX_EPISODES}`,
      path: ['pairs'],
    }),
  );

export const training = workflow({
  name: 'training',
  description: 'Trains a policy for a control problem by evolution strategies, with checkpoints.',
  input: TrainingInput,
  files: [],
  plan: ({ iterations, trajectories }) => [
    { step: 'prepare' },
    ...Array.from({ length: iterations * trajectories }, (_, item) => ({ step: 'trajectory', item })),
    ...Array.from({ length: iterations }, (_, item) => ({ step: 'update', item })),
    { step: 'evaluate' },
  ],
  steps: ['prepare', 'trajectory', 'update', 'evaluate'],
  tasks: {
    PrepareTraining: { file: 'lambdas/workflows/training/prepare-training.ts' },
    RunTrajectory: { file: 'lambdas/workflows/training/run-trajectory.ts', memoryMiB: 1_769 },
    UpdatePolicy: { file: 'lambdas/workflows/training/update-policy.ts' },
    EvaluatePolicy: { file: 'lambdas/workflows/training/evaluate-policy.ts', memoryMiB: 1_769 },
  },
  checkpoints: true,
});
