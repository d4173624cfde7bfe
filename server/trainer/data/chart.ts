import type { Rng } from '@plumbline/shared/rng';
import { Picture, type Colour } from './picture.js';
import { colourNames, sceneColours, type SceneColour } from './scene.js';
import { drawInSplit, pictureSize, type Task } from './task.js';

/** Bars in a chart, each in a column of 8 pixels. */
const bars = 4;
const columnWidth = pictureSize / bars;
/** The number of possible bar heights, in steps of three pixels; no two bars of a chart are equal. */
const levels = 9;

interface Bar {
  colour: SceneColour;
  /** 1..levels */
  level: number;
}

function drawBars(rng: Rng): Bar[] {
  const colours = rng.shuffled(colourNames);
  const heights = rng.shuffled(Array.from({ length: levels }, (_, i) => i + 1));
  return Array.from({ length: bars }, (_, i) => ({ colour: colours[i]!, level: heights[i]! }));
}

function drawChart(rng: Rng, shown: readonly Bar[]): Uint8Array {
  const jitter = (range: number): number => (rng.uniform() - 0.5) * 2 * range;
  const grey = 15 + rng.uniform() * 55;
  const picture = new Picture([grey, grey, grey]);
  const floor = pictureSize - 1.5;
  picture.paint(
    { left: 0, top: floor, right: pictureSize, bottom: pictureSize },
    [200, 200, 200],
    (_, y) => y >= floor,
  );
  shown.forEach(({ colour, level }, column) => {
    const left = column * columnWidth + 1.5 + jitter(0.5);
    const box = { left, top: floor - level * 3 - jitter(0.5), right: left + 5, bottom: floor };
    const tint = sceneColours[colour].map((value) => Math.max(0, Math.min(255, value + jitter(18))));
    picture.paint(
      box,
      tint as unknown as Colour,
      (x, y) => x >= box.left && x < box.right && y >= box.top && y < box.bottom,
    );
  });
  return picture.pixels;
}

/** Reading a bar chart: which of four coloured bars is the highest or the lowest. */
export const chartTask: Task = {
  name: 'chart',
  kind: 'held_out',
  chance: 100 / 8,
  sample(rng, split) {
    const { drawn, content } = drawInSplit(
      split,
      () => drawBars(rng),
      (shown) => shown.map(({ colour, level }) => `${colour} ${level}`).join(';'),
    );
    const wanted = rng.pick(['highest', 'lowest'] as const);
    const byHeight = [...drawn].sort((a, b) => a.level - b.level);
    const { colour } = byHeight[wanted === 'lowest' ? 0 : bars - 1]!;
    return { image: drawChart(rng, drawn), prompt: `what colour is the ${wanted} bar ?`, answer: colour, content };
  },
};
