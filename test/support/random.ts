/** What tests of faults draw from: told when one fails, and given again by FAULTS_SEED. */
export const faultsSeed = Number(process.env.FAULTS_SEED ?? Math.floor(Math.random() * 1e9));

/** Lehmer's generator: numbers from 0 to 1, the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
