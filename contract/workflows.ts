import * as z from 'zod/mini';
import { FileId } from './common.ts';
import { MAX_PRODUCT_IMAGES } from './limits.ts';
import { Marketplace, MarketplaceAccountId, ProductId } from './publishing.ts';

/** A step that a job is known to have when it is created; steps found later are added by a running task. */
export interface PlannedTask {
  /** `step_type` in the API, such as `split`. */
  readonly step: string;
  /** Set when the step runs once per item (a Map state). */
  readonly item?: number;
}

export interface TaskEntry {
  /** Path of the task's module from the repository's root; it exports `task`. */
  readonly file: string;
  /** Memory of its Lambda in MiB; 1,769 MiB is one vCPU. Default 1,024. */
  readonly memoryMiB?: number;
  /** Most seconds one run takes, at most 900; the state machine's TimeoutSeconds is above it. Default 300. */
  readonly timeoutSeconds?: number;
  /** Files that are copied next to the bundle, from `node_modules` on. */
  readonly assets?: readonly string[];
}

/**
 * A workflow: what a job of it takes, what it is known to do, and where its tasks are.
 * Its state machine is `statemachines/<name>.asl.json`; the keys of `tasks` are the names of its Task states.
 */
export interface WorkflowEntry<Input extends z.ZodMiniObject = z.ZodMiniObject> {
  readonly name: string;
  readonly description: string;
  readonly input: Input;
  /** The context whose records a job works on: it completes `input` when the job is created, and its tasks get its ports. */
  readonly context?: 'publishing';
  /** Fields of `input` that hold a file id, or an array of them: they are checked and resolved when a job is created. */
  readonly files: readonly string[];
  readonly plan: (input: z.infer<Input>) => readonly PlannedTask[];
  /** Field of `input` that names a marketplace: the workflow's jobs are counted by it in `GET /stats`. */
  readonly marketplaceField?: string;
  /** All steps in their order, those that are found later included; the steps of `plan` when left out. */
  readonly steps?: readonly string[];
  readonly tasks: Readonly<Record<string, TaskEntry>>;
  /** Whether a running job keeps checkpoints of itself again and again, so that a long time without one tells of trouble. */
  readonly checkpoints?: boolean;
}

function workflow<Input extends z.ZodMiniObject>(entry: WorkflowEntry<Input>): WorkflowEntry<Input> {
  return entry;
}

const folder = 'lambdas/workflows';

export const InferenceInput = z.strictObject({
  /** The rows: CSV with a header line, or NDJSON; either may be gzipped. */
  file_id: FileId.check(z.describe('Rows to score: CSV with a header, or NDJSON; either may be gzipped')),
  /** An ONNX model with one float input [N, features], or a policy of `training`; else the logistic regression that ships with Millrace. */
  model_file_id: z
    .optional(FileId)
    .check(z.describe('An ONNX model, or a policy of training; the built-in logistic regression when left out')),
  format: z.optional(z.enum(['csv', 'ndjson'])).check(z.describe('Told from the name and content when left out')),
  /** Bytes of input that one task scores: 1 MiB – 256 MiB. */
  range_bytes: z._default(z.int().check(z.minimum(2 ** 20), z.maximum(2 ** 28)), 2 ** 24),
});

export const inference = workflow({
  name: 'inference',
  description: 'Scores the rows of a file with a model: split into ranges, score them in parallel, assemble.',
  input: InferenceInput,
  files: ['file_id', 'model_file_id'],
  plan: () => [{ step: 'split' }, { step: 'assemble' }],
  steps: ['split', 'score', 'assemble'],
  tasks: {
    SplitFile: { file: `${folder}/inference/split-file.ts` },
    ScoreRange: {
      file: `${folder}/inference/score-range.ts`,
      memoryMiB: 1_769,
      timeoutSeconds: 600,
      assets: ['onnxruntime-web/dist/ort-wasm-simd-threaded.wasm', 'onnxruntime-web/dist/ort-wasm-simd-threaded.mjs'],
    },
    AssembleResults: { file: `${folder}/inference/assemble-results.ts` },
  },
});

/** A job of `training` has its tasks from the start: 50 transactions, which take some seconds of the 29 that a request has. */
const MAX_TRAINING_TASKS = 5_000;
/** Of an iteration: their returns are in the output of one task. */
const MAX_EPISODES = 2_000;

const between = (low: number, high: number) => [z.minimum(low), z.maximum(high)] as const;

export const TrainingInput = z
  .strictObject({
    environment: z
      ._default(z.enum(['cartpole', 'acrobot']), 'cartpole')
      .check(z.describe('What the policy is to control')),
    seed: z
      ._default(z.int().check(...between(0, 2 ** 32 - 1)), 1)
      .check(z.describe('The same seed and settings give the same policy, to the last bit')),
    iterations: z._default(z.int().check(...between(1, 2_000)), 30).check(z.describe('Steps of the policy')),
    trajectories: z
      ._default(z.int().check(...between(1, 40)), 8)
      .check(z.describe('Tasks that run at the same time in each iteration')),
    pairs: z
      ._default(z.int().check(...between(1, 100)), 8)
      .check(z.describe('Pairs of episodes that each of these tasks plays, with the weights moved to either side')),
    noise_scale: z
      ._default(z.number().check(...between(1e-4, 10)), 0.1)
      .check(z.describe('How far the weights are moved')),
    learning_rate: z._default(z.number().check(...between(1e-6, 1)), 0.05),
    hidden_units: z
      ._default(z.int().check(...between(0, 64)), 16)
      .check(z.describe('Units between observations and actions; 0 for a linear policy')),
    checkpoint_every: z._default(z.int().check(...between(1, 1_000)), 5).check(z.describe('Iterations')),
    evaluation_episodes: z
      ._default(z.int().check(...between(1, 1_000)), 20)
      .check(z.describe('Episodes of the trained policy, from starts that it has not seen')),
  })
  .check(
    z.refine(({ iterations, trajectories }) => iterations * (trajectories + 1) <= MAX_TRAINING_TASKS, {
      error: `a job has at most ${MAX_TRAINING_TASKS} tasks, which are iterations * (trajectories + 1): fewer tasks can play more pairs`,
      path: ['iterations'],
    }),
    z.refine(({ trajectories, pairs }) => 2 * trajectories * pairs <= MAX_EPISODES, {
      error: `an iteration has at most ${MAX_EPISODES} episodes, which are 2 * trajectories * pairs`,
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
    PrepareTraining: { file: `${folder}/training/prepare-training.ts` },
    RunTrajectory: { file: `${folder}/training/run-trajectory.ts`, memoryMiB: 1_769 },
    UpdatePolicy: { file: `${folder}/training/update-policy.ts` },
    EvaluatePolicy: { file: `${folder}/training/evaluate-policy.ts`, memoryMiB: 1_769 },
  },
  checkpoints: true,
});

const PublishingInput = z.strictObject({
  product_id: ProductId.check(z.describe('What to publish')),
  account_id: MarketplaceAccountId.check(z.describe('The account of a marketplace to publish it on')),
  /** The account's. */
  marketplace: z.optional(Marketplace).check(z.describe("The account's, filled in when left out")),
  /** The product's images when the job was created. */
  image_file_ids: z
    .optional(z.array(FileId).check(z.maxLength(MAX_PRODUCT_IMAGES)))
    .check(z.describe("The product's, filled in: give none")),
});

export const publishing = workflow({
  name: 'publishing',
  description: 'Publishes a product on a marketplace, once: eBay, Etsy, or Vinted by the seller’s bridge.',
  input: PublishingInput,
  context: 'publishing',
  marketplaceField: 'marketplace',
  files: ['image_file_ids'],
  plan: ({ marketplace, image_file_ids = [] }) => {
    const images = image_file_ids.map((_, item) => ({ step: 'upload_images', item }));
    const listing = { step: 'create_listing' };
    // Etsy's images belong to a listing, which has to be there first.
    const middle = marketplace === 'etsy' ? [listing, ...images] : [...images, listing];
    return [{ step: 'validate' }, ...middle, { step: 'publish' }, { step: 'verify' }];
  },
  tasks: {
    Validate: { file: 'lambdas/publishing/tasks/validate.ts' },
    UploadImage: { file: 'lambdas/publishing/tasks/upload-image.ts' },
    WaitForImageAnswer: { file: 'lambdas/publishing/tasks/wait-for-answer.ts' },
    CreateListing: { file: 'lambdas/publishing/tasks/create-listing.ts' },
    Publish: { file: 'lambdas/publishing/tasks/publish.ts' },
    Verify: { file: 'lambdas/publishing/tasks/verify.ts' },
    WaitForAnswer: { file: 'lambdas/publishing/tasks/wait-for-answer.ts' },
  },
});

/** Every workflow of this deployment, by name. */
export const workflows: Readonly<Record<string, WorkflowEntry>> = { inference, training, publishing };
