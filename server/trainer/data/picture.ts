import { pictureSize } from './task.js';

export type Colour = readonly [red: number, green: number, blue: number];

/** A byte canvas; the origin is the top left. */
export class Picture {
  readonly pixels = new Uint8Array(pictureSize * pictureSize * 3);

  constructor(background: Colour) {
    for (let i = 0; i < this.pixels.length; i += 3) this.pixels.set(background, i);
  }

  /**
   * Paints where `inside` holds, with soft edges: 3x3 samples per pixel.
   * @param box the area to test, in pixels
   */
  paint(
    box: { left: number; top: number; right: number; bottom: number },
    colour: Colour,
    inside: (x: number, y: number) => boolean,
  ): void {
    const clamp = (value: number): number => Math.max(0, Math.min(pictureSize, value));
    for (let y = clamp(Math.floor(box.top)); y < clamp(Math.ceil(box.bottom)); y++)
      for (let x = clamp(Math.floor(box.left)); x < clamp(Math.ceil(box.right)); x++) {
        let hits = 0;
        for (let sample = 0; sample < 9; sample++)
          if (inside(x + ((sample % 3) + 0.5) / 3, y + (Math.floor(sample / 3) + 0.5) / 3)) hits++;
        if (hits === 0) continue;
        const at = (y * pictureSize + x) * 3;
        for (let channel = 0; channel < 3; channel++) {
          const under = this.pixels[at + channel]!;
          this.pixels[at + channel] = Math.round(under + ((colour[channel]! - under) * hits) / 9);
        }
      }
  }
}
