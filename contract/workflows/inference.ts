import * as z from 'zod/mini';
import { FileId } from '../common.ts';
import { workflow } from '../workflow.ts';

export const InferenceInput = z.strictObject({
  /** The rows: CSV with a header line, or NDJSON; either may be gzipped. */
  file_id: FileId.check(z.describe('Rows to score: CSV with a header, or NDJSON; either may be gzipped')),
  /** An ONNX model with one float input [N, features], or a policy of `training`; else the logistic regression that ships with Millrace. */
  model_file_id: z
    .optional(FileId)
    .check(z.describe('An ONNX model, or a policy of `training`; defaults to the built-in logistic regression')),
  format: z.optional(z.enum(['csv', 'ndjson'])).check(z.describe('Defaults to what name and content suggest')),
  /** Bytes of input that one task scores: 1 MiB – 256 MiB. */
  range_bytes: z._default(z.int().check(z.minimum(2 ** 20), z.maximum(2 ** 28)), 2 ** 24),
});

export const inference = workflow({
  name: 'inference',
  description: 'Scores the rows of a file with a model, in parallel.',
  input: InferenceInput,
  files: ['file_id', 'model_file_id'],
  plan: () => [{ step: 'split' }, { step: 'assemble' }],
  steps: ['split', 'score', 'assemble'],
  tasks: {
    SplitFile: { file: 'lambdas/workflows/inference/split-file.ts' },
    ScoreRange: {
      file: 'lambdas/workflows/inference/score-range.ts',
      memoryMiB: 1_769,
      timeoutSeconds: 600,
      assets: ['onnxruntime-web/dist/ort-wasm-simd-threaded.wasm', 'onnxruntime-web/dist/ort-wasm-simd-threaded.mjs'],
    },
    AssembleResults: { file: 'lambdas/workflows/inference/assemble-results.ts' },
  },
});
