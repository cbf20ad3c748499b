import * as z from 'zod/mini';
import type { Environment } from './environments.ts';
import { countWeights, evaluate, type Shape } from './network.ts';

const FORMAT = 'millrace-policy-1';

/**
 * A trained policy as a file. It divides each observation by its scale, and its network answers one number for each action;
 * the greatest is the one to take. The order of weights is that of `evaluate` in network.ts.
 */
const PolicyFile = z
  .object({
    format: z.literal(FORMAT),
    environment: z.string(),
    observations: z.array(z.object({ name: z.string(), scale: z.number() })).check(z.minLength(1), z.maxLength(1_000)),
    actions: z.int().check(z.minimum(1), z.maximum(1_000)),
    hidden_units: z.int().check(z.minimum(0), z.maximum(10_000)),
    weights: z.array(z.number()),
    /** How it came about. */
    training: z.record(z.string(), z.unknown()),
  })
  .check(
    z.refine((policy) => policy.weights.length === countWeights(shapeIn(policy)), { error: 'weights are missing' }),
  );
type PolicyFile = z.infer<typeof PolicyFile>;

export interface Policy {
  readonly observations: readonly string[];
  readonly actions: number;
  /** One output for each action. */
  evaluate(observations: readonly number[]): readonly number[];
}

export function writePolicy(
  name: string,
  { observations, scale, actions }: Environment,
  { hidden }: Shape,
  weights: Float64Array,
  training: Record<string, unknown>,
): string {
  const policy: PolicyFile = {
    format: FORMAT,
    environment: name,
    observations: observations.map((observation, at) => ({ name: observation, scale: scale[at] ?? 1 })),
    actions,
    hidden_units: hidden,
    weights: [...weights],
    training,
  };
  return `${JSON.stringify(policy, null, 1)}\n`;
}

/** Undefined if the text is not a policy. */
export function readPolicy(text: string): Policy | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = PolicyFile.safeParse(json);
  if (!parsed.success) return undefined;
  const { observations, actions } = parsed.data;
  const shape = shapeIn(parsed.data);
  const weights = Float64Array.from(parsed.data.weights);
  return {
    observations: observations.map(({ name }) => name),
    actions,
    evaluate: (values) => {
      const scaled = observations.map(({ scale }, at) => (values[at] ?? 0) / scale);
      return evaluate(shape, weights, scaled);
    },
  };
}

function shapeIn({
  observations,
  hidden_units,
  actions,
}: Pick<PolicyFile, 'observations' | 'hidden_units' | 'actions'>) {
  return { inputs: observations.length, hidden: hidden_units, outputs: actions };
}
