/**
 * Seeded random numbers whose state is four 32-bit words, so that a checkpoint can hold it and a resumed run draws on.
 * xoshiro128** (Blackman & Vigna 2018), seeded by splitmix32.
 */
export class Rng {
  #state: Uint32Array;

  constructor(seed: number) {
    this.#state = new Uint32Array(4);
    let mixed = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let z = mixed;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      this.#state[i] = z ^ (z >>> 15);
    }
  }

  static fromState(state: readonly number[]): Rng {
    if (state.length !== 4 || state.every((word) => word === 0))
      throw new Error('A random state is four words, not all 0.');
    const rng = new Rng(0);
    rng.#state = Uint32Array.from(state);
    return rng;
  }
  get state(): number[] {
    return [...this.#state];
  }

  /** 0 <= integer < 2^32 */
  #word(): number {
    const s = this.#state;
    const turned = Math.imul(s[1]!, 5);
    const result = Math.imul((turned << 7) | (turned >>> 25), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  /** 0 <= number < 1, a multiple of 2^-32 */
  uniform(): number {
    return this.#word() / 2 ** 32;
  }
  /** 0 <= integer < n */
  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }
  /** Standard normal, by Box and Muller; one draw of two a call. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('There is nothing to pick from.');
    return items[this.integer(items.length)]!;
  }
  /** A new array in random order (Fisher-Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const order = [...items];
    for (let i = order.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}
