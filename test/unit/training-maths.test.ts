import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import * as z from 'zod/mini';
import { environments } from '../../lambdas/workflows/training/environments.ts';
import { chooseAction, runEpisode } from '../../lambdas/workflows/training/episode.ts';
import {
  advance,
  centeredRanks,
  drawPairs,
  initialState,
  mirroredWeights,
} from '../../lambdas/workflows/training/evolution.ts';
import { learningCurveCsv, learningCurveSvg } from '../../lambdas/workflows/training/learning-curve.ts';
import { countWeights, evaluate, shapeFor } from '../../lambdas/workflows/training/network.ts';
import { readPolicy, writePolicy } from '../../lambdas/workflows/training/policy.ts';
import { Random } from '../../lambdas/workflows/training/random.ts';

const Played = z.array(
  z.object({
    start: z.array(z.number()),
    steps: z.array(
      z.object({
        action: z.int(),
        state: z.array(z.number()),
        observation: z.array(z.number()),
        reward: z.number(),
        terminated: z.boolean(),
      }),
    ),
  }),
);
const fixture = new URL('../fixtures/training/environments.json', import.meta.url);
const references = z.record(z.string(), Played).parse(JSON.parse(await readFile(fixture, 'utf8')));

function expectClose(found: readonly number[], wanted: readonly number[], digits: number): void {
  expect(found).toHaveLength(wanted.length);
  for (const [at, value] of found.entries()) expect(value).toBeCloseTo(wanted[at] ?? Number.NaN, digits);
}

describe.each(Object.entries(environments))('the environment %s', (name, environment) => {
  const episodes = references[name] ?? [];

  it('T1 moves as the one of Gymnasium does, to 12 digits, and ends when that ends', () => {
    expect(episodes.length).toBeGreaterThan(1);
    for (const { start, steps } of episodes) {
      let before = start;
      for (const { action, state, observation, reward, terminated } of steps) {
        const step = environment.step(before, action);
        expectClose(step.state, state, 12);
        // Gymnasium rounds what it shows to single precision.
        expectClose(environment.observe(step.state), observation, 5);
        expect([step.reward, step.terminated]).toEqual([reward, terminated]);
        before = state;
      }
      expect(steps.at(-1)?.terminated).toBe(true);
    }
  });

  it('stays with Gymnasium over a whole episode', () => {
    for (const { start, steps } of episodes) {
      let state: readonly number[] = start;
      for (const { action } of steps) state = environment.step(state, action).state;
      expectClose(state, steps.at(-1)?.state ?? [], 6);
    }
  });

  it('plays the same episode for the same seed, and another for another', () => {
    const shape = shapeFor(environment, 8);
    const { weights } = initialState(shape, 3);
    const play = (seed: number) => runEpisode(environment, shape, mirrored(weights), seed);
    expect(play(7)).toEqual(play(7));
    expect(new Set([1, 2, 3, 4, 5, 6].map((seed) => JSON.stringify(environment.start(Random.seeded(seed))))).size).toBe(
      6,
    );
    expect(play(1).steps).toBeLessThanOrEqual(environment.maxSteps);
  });
});

const mirrored = (weights: Float64Array) => weights.map((weight, at) => weight + Math.sin(at));

describe('Random', () => {
  it('draws the numbers of the reference implementation', () => {
    // Of the authors' C code, https://prng.di.unimi.it/xoshiro128starstar.c, from the state 1, 2, 3, 4.
    const random = new Random([1, 2, 3, 4]);
    expect(Array.from({ length: 5 }, () => random.next())).toEqual([11520, 0, 5927040, 70819200, 2031721883]);
  });

  it('goes on from a state that it told', () => {
    const random = Random.seeded(42);
    for (let draws = 0; draws < 10; draws += 1) random.next();
    const copy = new Random(JSON.parse(JSON.stringify(random.state())));
    expect(copy.normals(9)).toEqual(random.normals(9));
    expect(copy.state()).toEqual(random.state());
  });

  it('draws normal and uniform numbers', () => {
    const draws = Random.seeded(1).normals(100_001);
    const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    const square = draws.reduce((sum, draw) => sum + draw * draw, 0) / draws.length;
    expect(mean).toBeCloseTo(0, 1);
    expect(square).toBeCloseTo(1, 1);
    const random = Random.seeded(2);
    for (let draw = 0; draw < 1_000; draw += 1) {
      const value = random.uniform(-2, 3);
      expect(value >= -2 && value < 3).toBe(true);
    }
  });
});

describe('centeredRanks', () => {
  it('gives equal values the mean of their places', () => {
    expect([...centeredRanks([10, 30, 20, 30, 5])]).toEqual([-0.25, 0.375, 0, 0.375, -0.5]);
    expect([...centeredRanks([7, 7])]).toEqual([0, 0]);
  });

  test('sums to nothing, whatever the values', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 2 }), (values) => {
        expect(centeredRanks(values).reduce((sum, rank) => sum + rank, 0)).toBeCloseTo(0, 9);
      }),
    );
  });
});

describe('an iteration', () => {
  const shape = shapeFor(environments.cartpole, 4);
  const settings = { noiseScale: 0.1, learningRate: 0.05 };

  it('T8 makes bit-identical states of the same returns', () => {
    const returns = [
      [10, 20],
      [30, 5],
      [7, 7],
    ] as const;
    const train = (from = initialState(shape, 5), times = 3) => {
      let state = from;
      for (let at = 0; at < times; at += 1) state = advance(state, returns, settings);
      return state;
    };
    const whole = train();
    const half = train(initialState(shape, 5), 2);
    const kept = JSON.parse(JSON.stringify({ ...half, weights: [...half.weights] })) as { weights: number[] };
    expect(train({ ...half, weights: Float64Array.from(kept.weights) }, 1)).toEqual(whole);
    expect(train(initialState(shape, 6)).weights).not.toEqual(whole.weights);
  });

  it('climbs: the weights come nearer to where the return is greatest', () => {
    const target = Float64Array.from({ length: countWeights(shape) }, (_, at) => Math.cos(at));
    const distance = (weights: Float64Array) =>
      weights.reduce((sum, weight, at) => sum + (weight - (target[at] ?? 0)) ** 2, 0);
    let state = initialState(shape, 1);
    const before = distance(state.weights);
    for (let at = 0; at < 100; at += 1) {
      const returns = drawPairs(state, 16).pairs.map((pair) => {
        const [plus, minus] = mirroredWeights(state, pair, 0.1);
        return [-distance(plus), -distance(minus)] as const;
      });
      state = advance(state, returns, settings);
    }
    expect(distance(state.weights)).toBeLessThan(before / 20);
  });

  it('takes no step when all episodes end alike', () => {
    const state = initialState(shape, 1);
    const next = advance(state, [[5, 5]], settings);
    expect(next.weights).toEqual(state.weights);
    expect(next.random).not.toEqual(state.random);
  });
});

describe('a policy', () => {
  const environment = environments.acrobot;

  it.each([0, 5])('with %i hidden units is written and read without a loss', (hidden) => {
    const shape = shapeFor(environment, hidden);
    const weights = Random.seeded(1).normals(countWeights(shape));
    const policy = readPolicy(writePolicy('acrobot', environment, shape, weights, { seed: 1 }));
    const seen = [0.1, 0.2, 0.3, 0.4, 5, 6];
    const scaled = seen.map((value, at) => value / (environment.scale[at] ?? 1));
    expect(policy?.evaluate(seen)).toEqual(evaluate(shape, weights, scaled));
    expect(policy).toMatchObject({ observations: environment.observations, actions: 3 });
  });

  it.each(['', 'null', '{}', '{"format":"millrace-policy-1"}', 'x'])('is not read from %j', (text) => {
    expect(readPolicy(text)).toBeUndefined();
  });

  it('is not read when weights are missing', () => {
    const shape = shapeFor(environment, 2);
    const text = writePolicy('acrobot', environment, shape, new Float64Array(countWeights(shape) - 1), {});
    expect(readPolicy(text)).toBeUndefined();
  });

  it('takes the action with the greatest output, and of equal ones the first', () => {
    expect([chooseAction([1, 3, 2]), chooseAction([2, 2]), chooseAction([-1])]).toEqual([1, 0, 0]);
  });
});

describe('the learning curve', () => {
  const points = [3, 7, 5].map((mean_return, iteration) => {
    return { iteration, mean_return, min_return: mean_return - 1, max_return: mean_return + 1 };
  });

  it('is a CSV with a line for each iteration, from 1', () => {
    expect(learningCurveCsv(points)).toBe('iteration,mean_return,min_return,max_return\n1,3,2,4\n2,7,6,8\n3,5,4,6\n');
  });

  it.each([
    points,
    points.slice(0, 1),
    points.slice(0, 1).map((point) => ({ ...point, min_return: 3, max_return: 3 })),
  ])('is an SVG whose numbers are all finite', (...curve) => {
    const svg = learningCurveSvg(curve, 'title');
    expect(svg).toMatch(/^<svg [\s\S]*<polyline points="\d[\s\S]*<\/svg>\n$/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });
});
