import { describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { chartTask } from './chart.js';
import { sceneColours, type SceneColour } from './scene.js';
import { pictureSize } from './task.js';

/** Each bar's height in pixels and its colour's distance from a colour, measured in the picture's four columns. */
function readBars(image: Uint8Array, colour: SceneColour): { height: number; distance: number }[] {
  const pixel = (x: number, y: number): number[] => [...image.slice((y * pictureSize + x) * 3).slice(0, 3)];
  const background = pixel(0, 0)[0]!;
  return [3, 11, 19, 27].map((x) => {
    let height = 0;
    while (height < 30 && pixel(x, 29 - height).some((value) => Math.abs(value - background) > 30)) height++;
    const distance = Math.hypot(...pixel(x, 29).map((value, channel) => value - sceneColours[colour][channel]!));
    return { height, distance };
  });
}

describe('charts', () => {
  it('show the bar of the question in the colour of the answer', () => {
    const rng = new Rng(1);
    for (let i = 0; i < 200; i++) {
      const { image, prompt, answer } = chartTask.sample(rng, 'train');
      const bars = readBars(image, answer as SceneColour);
      const heights = bars.map(({ height }) => height);
      const asked = prompt.includes('highest') ? Math.max(...heights) : Math.min(...heights);
      const bar = bars.find(({ height }) => height === asked)!;
      expect(bar.distance).toBe(Math.min(...bars.map(({ distance }) => distance)));
      expect(heights.filter((height) => height === asked).length).toBe(1);
    }
  });
});
