import { Rng } from '@plumbline/shared/rng';

/** The place in a data set between two examples: enough to go on with exactly the next one. */
export interface SamplerPosition {
  /** Whole passes over the data set so far. */
  epoch: number;
  /** Examples of this pass so far, 0 <= drawn < size. */
  drawn: number;
}

/**
 * Draws every example of a data set once an epoch, each epoch in another order. The order depends on the seed and the
 * number of the epoch only, so a position is two numbers whatever the size of the data set.
 */
export class EpochSampler {
  #epoch: number;
  #drawn: number;
  #order: readonly number[] | undefined;

  /** @throws Error when there is no example, or the position is not one of this data set */
  constructor(
    private readonly size: number,
    private readonly seed: number,
    { epoch, drawn }: SamplerPosition = { epoch: 0, drawn: 0 },
  ) {
    if (!(size > 0)) throw new Error('There is no example to draw.');
    if (drawn >= size)
      throw new Error(
        `The data set has ${size} examples and a checkpoint has drawn ${drawn} of an epoch: it is another data set.`,
      );
    [this.#epoch, this.#drawn] = [epoch, drawn];
  }

  get position(): SamplerPosition {
    return { epoch: this.#epoch, drawn: this.#drawn };
  }

  /** @returns the index of the next example */
  next(): number {
    this.#order ??= this.#shuffled();
    const index = this.#order[this.#drawn++]!;
    if (this.#drawn === this.size) [this.#epoch, this.#drawn, this.#order] = [this.#epoch + 1, 0, undefined];
    return index;
  }

  #shuffled(): readonly number[] {
    // Seeds of neighbouring numbers give unrelated generators; those of runs must not be neighbours.
    const seed = new Rng(this.seed).integer(2 ** 32) ^ this.#epoch;
    return new Rng(seed >>> 0).shuffled(Array.from({ length: this.size }, (_, index) => index));
  }
}
