import type { Random } from './random.ts';

export interface Step {
  readonly state: readonly number[];
  readonly reward: number;
  /** The episode has ended before its last step. */
  readonly terminated: boolean;
}

/** A control problem: pure functions of a state, so that the same seed and policy give the same episode everywhere. */
export interface Environment {
  /** What the policy sees, in order. */
  readonly observations: readonly string[];
  /** Divides each observation, so that all are about 1. */
  readonly scale: readonly number[];
  /** How many there are; they are numbers from 0. */
  readonly actions: number;
  readonly maxSteps: number;
  start(random: Random): readonly number[];
  observe(state: readonly number[]): readonly number[];
  step(state: readonly number[], action: number): Step;
}

/**
 * A pole on a cart that is pushed left (0) or right (1); a reward of 1 for each step that it stands.
 * Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems", 1983, with
 * the constants and the Euler steps of Gymnasium's CartPole-v1: https://gymnasium.farama.org/environments/classic_control/cart_pole/
 */
const cartpole: Environment = {
  observations: ['x', 'x_dot', 'theta', 'theta_dot'],
  scale: [2.4, 2, 0.2, 2],
  actions: 2,
  maxSteps: 500,
  start: (random) => Array.from({ length: 4 }, () => random.uniform(-0.05, 0.05)),
  observe: (state) => state,
  step([x = 0, xDot = 0, theta = 0, thetaDot = 0], action) {
    const [gravity, cartMass, poleMass, halfLength, seconds] = [9.8, 1, 0.1, 0.5, 0.02];
    const mass = cartMass + poleMass;
    const force = action === 1 ? 10 : -10;
    const [cos, sin] = [Math.cos(theta), Math.sin(theta)];
    const push = (force + poleMass * halfLength * thetaDot * thetaDot * sin) / mass;
    const thetaAcc = (gravity * sin - cos * push) / (halfLength * (4 / 3 - (poleMass * cos * cos) / mass));
    const xAcc = push - (poleMass * halfLength * thetaAcc * cos) / mass;
    const next = [
      x + seconds * xDot,
      xDot + seconds * xAcc,
      theta + seconds * thetaDot,
      thetaDot + seconds * thetaAcc,
    ] as const;
    const terminated = Math.abs(next[0]) > 2.4 || Math.abs(next[2]) > (12 * 2 * Math.PI) / 360;
    return { state: next, reward: 1, terminated };
  },
};

/**
 * Two links that hang from a joint; a torque at the joint between them, of -1, 0 or 1, is to swing the free end above a height
 * of one link. A reward of -1 for each step until then.
 * Sutton, "Generalization in Reinforcement Learning: Successful Examples Using Sparse Coarse Coding", 1996, with the equations of
 * Sutton and Barto's book, as in Gymnasium's Acrobot-v1: https://gymnasium.farama.org/environments/classic_control/acrobot/
 */
const acrobot: Environment = {
  observations: ['cos_theta_1', 'sin_theta_1', 'cos_theta_2', 'sin_theta_2', 'theta_1_dot', 'theta_2_dot'],
  scale: [1, 1, 1, 1, 4 * Math.PI, 9 * Math.PI],
  actions: 3,
  maxSteps: 500,
  start: (random) => Array.from({ length: 4 }, () => random.uniform(-0.1, 0.1)),
  observe: ([first = 0, second = 0, firstDot = 0, secondDot = 0]) => [
    Math.cos(first),
    Math.sin(first),
    Math.cos(second),
    Math.sin(second),
    firstDot,
    secondDot,
  ],
  step(state, action) {
    const moved = rungeKutta((at) => acrobotDerivatives(at, action - 1), state, 0.2);
    const [first, second] = [wrapAngle(moved[0] ?? 0), wrapAngle(moved[1] ?? 0)];
    const next = [first, second, clip(moved[2] ?? 0, 4 * Math.PI), clip(moved[3] ?? 0, 9 * Math.PI)];
    const terminated = -Math.cos(first) - Math.cos(second + first) > 1;
    return { state: next, reward: terminated ? 0 : -1, terminated };
  },
};

/** Links of mass 1, length 1 and moment of inertia 1, whose centres of mass are in their middles. */
function acrobotDerivatives(
  [first = 0, second = 0, firstDot = 0, secondDot = 0]: readonly number[],
  torque: number,
): readonly number[] {
  const [gravity, half] = [9.8, 0.5];
  const d1 = half ** 2 + (1 + half ** 2 + 2 * half * Math.cos(second)) + 2;
  const d2 = half ** 2 + half * Math.cos(second) + 1;
  const phi2 = half * gravity * Math.cos(first + second - Math.PI / 2);
  const phi1 =
    -half * secondDot ** 2 * Math.sin(second) -
    2 * half * secondDot * firstDot * Math.sin(second) +
    (half + 1) * gravity * Math.cos(first - Math.PI / 2) +
    phi2;
  const secondAcc =
    (torque + (d2 / d1) * phi1 - half * firstDot ** 2 * Math.sin(second) - phi2) / (half ** 2 + 1 - d2 ** 2 / d1);
  return [firstDot, secondDot, -(d2 * secondAcc + phi1) / d1, secondAcc];
}

/** One step of the classical method of fourth order. */
function rungeKutta(
  derivatives: (state: readonly number[]) => readonly number[],
  state: readonly number[],
  seconds: number,
): readonly number[] {
  const along = (slope: readonly number[], share: number) =>
    state.map((value, at) => value + seconds * share * (slope[at] ?? 0));
  const k1 = derivatives(state);
  const k2 = derivatives(along(k1, 1 / 2));
  const k3 = derivatives(along(k2, 1 / 2));
  const k4 = derivatives(along(k3, 1));
  const mean = k1.map((slope, at) => (slope + 2 * (k2[at] ?? 0) + 2 * (k3[at] ?? 0) + (k4[at] ?? 0)) / 6);
  return along(mean, 1);
}

export const environments = { cartpole, acrobot } as const satisfies Record<string, Environment>;

function clip(value: number, most: number): number {
  return Math.min(most, Math.max(-most, value));
}

/** The same angle from -π to π. */
function wrapAngle(angle: number): number {
  if (angle > Math.PI) return wrapAngle(angle - 2 * Math.PI);
  return angle < -Math.PI ? wrapAngle(angle + 2 * Math.PI) : angle;
}
