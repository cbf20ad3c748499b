/**
 * xoshiro128**, a small generator whose whole state is four words: the same draws for the same state on every platform.
 * Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021, https://arxiv.org/abs/1805.01407
 */
export class Random {
  readonly #words: Uint32Array;

  /** Goes on from a state that `state` told. */
  constructor(words: readonly number[]) {
    this.#words = Uint32Array.from(words);
  }

  /** `seed`: 0 to 2^32 - 1. Its words are those of splitmix32, as the authors advise. */
  static seeded(seed: number): Random {
    const words = [1, 2, 3, 4].map((at) => mix((seed + Math.imul(at, 0x9e3779b9)) | 0));
    return new Random(words);
  }

  state(): number[] {
    return [...this.#words];
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    const words = this.#words;
    const [a = 0, b = 0, c = 0, d = 0] = words;
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const [c2, d2] = [c ^ a, d ^ b];
    words[0] = a ^ d2;
    words[1] = b ^ c2;
    words[2] = c2 ^ (b << 9);
    words[3] = rotate(d2, 11);
    return result;
  }

  /** From `low` up to but not including `high`, in steps of 2^-53 of the way. */
  uniform(low: number, high: number): number {
    const unit = ((this.next() >>> 5) * 2 ** 26 + (this.next() >>> 6)) / 2 ** 53;
    return low + (high - low) * unit;
  }

  /** So many draws of a standard normal distribution, two at a time by Box and Muller's transform. */
  normals(count: number): Float64Array {
    const draws = new Float64Array(count);
    for (let at = 0; at < count; at += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform(0, 1)));
      const angle = this.uniform(0, 2 * Math.PI);
      draws[at] = radius * Math.cos(angle);
      if (at + 1 < count) draws[at + 1] = radius * Math.sin(angle);
    }
    return draws;
  }
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

function mix(word: number): number {
  const a = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  const b = Math.imul(a ^ (a >>> 15), 0x735a2d97);
  return b ^ (b >>> 15);
}
