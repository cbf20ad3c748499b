import { chooseAction } from '../training/episode.ts';
import { readPolicy } from '../training/policy.ts';
import type { Model, PredictionColumn } from './predictions.ts';

/** A policy of `training` as a model: the action to take, and the policy's output for each action. */
export function createPolicyModel(name: string, bytes: Uint8Array): { model: Model; features: number } | undefined {
  const policy = readPolicy(Buffer.from(bytes).toString());
  if (!policy) return undefined;
  const features = policy.observations.length;
  return {
    features,
    model: {
      name,
      async score(values, rows) {
        const { actions } = policy;
        const chosen = new Int32Array(rows);
        const outputs = new Float32Array(rows * actions);
        for (let row = 0; row < rows; row += 1) {
          const answers = policy.evaluate([...values.subarray(row * features, (row + 1) * features)]);
          chosen[row] = chooseAction(answers);
          outputs.set(answers, row * actions);
        }
        const action: PredictionColumn = { name: 'action', kind: 'label', values: chosen, stride: 1, offset: 0 };
        const each = Array.from({ length: actions }, (_, offset): PredictionColumn => {
          return { name: `output_${offset}`, kind: 'score', values: outputs, stride: actions, offset };
        });
        return [action, ...each];
      },
      release: async () => undefined,
    },
  };
}
