import { initialWeights, type Shape } from './network.ts';
import { Random } from './random.ts';

// Evolution strategies as in Salimans, Ho, Chen, Sidor and Sutskever, "Evolution Strategies as a Scalable Alternative to
// Reinforcement Learning", 2017, https://arxiv.org/abs/1703.03864: mirrored perturbations, returns shaped by their ranks,
// steps by Adam (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980). Whoever has the seeds and the returns can make the
// same step, so that no weights travel between tasks.

/** All that the next iteration depends on. */
export interface TrainingState {
  /** Iterations done. */
  readonly iteration: number;
  readonly weights: Float64Array;
  /** Adam's running means of the gradient and of its square. */
  readonly momentum: Float64Array;
  readonly variance: Float64Array;
  /** Four words: see `Random`. */
  readonly random: readonly number[];
}

/** Two episodes from the same start, with the weights moved by the same noise to either side. */
export interface Pair {
  readonly noiseSeed: number;
  readonly episodeSeed: number;
}

/** The returns of a pair's episodes. */
export type PairReturns = readonly [plus: number, minus: number];

const MEAN_DECAY = 0.9;
const SQUARE_DECAY = 0.999;
const EPSILON = 1e-8;

export function initialState(shape: Shape, seed: number): TrainingState {
  const random = Random.seeded(seed);
  const weights = initialWeights(shape, random);
  const zeros = () => new Float64Array(weights.length);
  return { iteration: 0, weights, momentum: zeros(), variance: zeros(), random: random.state() };
}

/** The pairs of the next iteration, and the random state after them. */
export function drawPairs({ random: words }: TrainingState, count: number): { pairs: Pair[]; random: number[] } {
  const random = new Random(words);
  const pairs = Array.from({ length: count }, () => ({ noiseSeed: random.next(), episodeSeed: random.next() }));
  return { pairs, random: random.state() };
}

/** The weights of a pair's episodes. */
export function mirroredWeights(
  { weights }: TrainingState,
  { noiseSeed }: Pair,
  noiseScale: number,
): readonly [plus: Float64Array, minus: Float64Array] {
  const noise = Random.seeded(noiseSeed).normals(weights.length);
  return [
    weights.map((weight, at) => weight + noiseScale * (noise[at] as number)),
    weights.map((weight, at) => weight - noiseScale * (noise[at] as number)),
  ];
}

/** One iteration: the same state and returns give the same state, bit by bit. `returns`: of each of its pairs, in order. */
export function advance(
  state: TrainingState,
  returns: readonly PairReturns[],
  { noiseScale, learningRate }: { noiseScale: number; learningRate: number },
): TrainingState {
  const { pairs, random } = drawPairs(state, returns.length);
  const ranks = centeredRanks(returns.flat());
  const gradient = new Float64Array(state.weights.length);
  for (const [at, { noiseSeed }] of pairs.entries()) {
    const gain = (ranks[2 * at] as number) - (ranks[2 * at + 1] as number);
    // Episodes that ended alike say nothing, and need no noise drawn.
    if (gain === 0) continue;
    const noise = Random.seeded(noiseSeed).normals(gradient.length);
    for (let weight = 0; weight < gradient.length; weight += 1) {
      gradient[weight] = (gradient[weight] as number) + gain * (noise[weight] as number);
    }
  }
  const iteration = state.iteration + 1;
  const momentum = state.momentum.map((mean, at) => {
    const slope = (gradient[at] as number) / (2 * pairs.length * noiseScale);
    return MEAN_DECAY * mean + (1 - MEAN_DECAY) * slope;
  });
  const variance = state.variance.map((mean, at) => {
    const slope = (gradient[at] as number) / (2 * pairs.length * noiseScale);
    return SQUARE_DECAY * mean + (1 - SQUARE_DECAY) * slope * slope;
  });
  const [meanBias, squareBias] = [1 - MEAN_DECAY ** iteration, 1 - SQUARE_DECAY ** iteration];
  const weights = state.weights.map((weight, at) => {
    const step = (momentum[at] as number) / meanBias;
    return weight + (learningRate * step) / (Math.sqrt((variance[at] as number) / squareBias) + EPSILON);
  });
  return { iteration, weights, momentum, variance, random };
}

/** The place of each value among all, from -0.5 for the least to 0.5 for the greatest; equal ones share the mean of theirs. */
export function centeredRanks(values: readonly number[]): Float64Array {
  const order = [...values.keys()].sort((a, b) => (values[a] as number) - (values[b] as number));
  const ranks = new Float64Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1] as number] === values[order[from] as number]) to += 1;
    for (let at = from; at <= to; at += 1) ranks[order[at] as number] = (from + to) / 2 / (values.length - 1) - 0.5;
    from = to + 1;
  }
  return ranks;
}
