import type { Rng } from '@plumbline/shared/rng';
import { Picture, type Colour } from './picture.js';
import { drawInSplit, pictureSize, type Task } from './task.js';

const breastColours = { red: [205, 60, 45], yellow: [235, 205, 60], white: [240, 240, 235] } as const;

/** The marks of a kind. */
export interface Plumage {
  breast: keyof typeof breastColours;
  /** a tuft on the head */
  crest: boolean;
  /** a pale stripe across the wing */
  wingBar: boolean;
  longBeak: boolean;
  longTail: boolean;
}
const plumage = (breast: Plumage['breast'], ...marks: Exclude<keyof Plumage, 'breast'>[]): Plumage => ({
  breast,
  crest: marks.includes('crest'),
  wingBar: marks.includes('wingBar'),
  longBeak: marks.includes('longBeak'),
  longTail: marks.includes('longTail'),
});

/** Twelve kinds, named after birds but not drawn like them. Each differs from another kind in a single part. */
export const kinds = {
  robin: plumage('red'),
  finch: plumage('red', 'wingBar'),
  cardinal: plumage('red', 'crest'),
  waxwing: plumage('red', 'crest', 'wingBar'),
  warbler: plumage('yellow'),
  siskin: plumage('yellow', 'wingBar'),
  bunting: plumage('yellow', 'crest'),
  wagtail: plumage('yellow', 'longTail'),
  plover: plumage('white', 'longBeak'),
  snipe: plumage('white', 'longBeak', 'wingBar'),
  lapwing: plumage('white', 'longBeak', 'crest'),
  tern: plumage('white', 'longBeak', 'longTail'),
} as const satisfies Record<string, Plumage>;
export type Kind = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as Kind[];

/** Differences between birds of one kind that do not identify it. */
interface Individual {
  kind: Kind;
  facing: 'left' | 'right';
  back: number;
  background: number;
  x: number;
  y: number;
}
const backColours: readonly Colour[] = [
  [105, 85, 65],
  [85, 95, 75],
  [80, 85, 105],
  [115, 105, 95],
];
const backgrounds: readonly Colour[] = [
  [150, 180, 205],
  [150, 175, 130],
  [30, 40, 45],
  [190, 170, 140],
];

const drawIndividual = (rng: Rng): Individual => ({
  kind: rng.pick(kindNames),
  facing: rng.pick(['left', 'right'] as const),
  back: rng.integer(backColours.length),
  background: rng.integer(backgrounds.length),
  x: rng.integer(3) - 1,
  y: rng.integer(3) - 1,
});

function drawBird(rng: Rng, { kind, facing, back, background, x, y }: Individual): Uint8Array {
  const { breast, crest, wingBar, longBeak, longTail }: Plumage = kinds[kind];
  const tint = (colour: Colour): Colour =>
    colour.map((value) => Math.max(0, Math.min(255, value + (rng.uniform() - 0.5) * 24))) as unknown as Colour;
  const picture = new Picture(tint(backgrounds[background]!));
  const size = 0.95 + rng.uniform() * 0.1;
  const [middleX, middleY] = [pictureSize / 2 + x, pictureSize / 2 + 2 + y];
  const ahead = facing === 'right' ? size : -size;
  /** Box and test use pixels from the body's middle, for a bird that faces right, with y downwards. */
  const paint = (
    colour: Colour,
    [back, top, front, bottom]: readonly [number, number, number, number],
    inside: (x: number, y: number) => boolean,
  ): void => {
    const across = [middleX + back * ahead, middleX + front * ahead];
    const box = { top: middleY + top * size, bottom: middleY + bottom * size };
    picture.paint({ left: Math.min(...across), right: Math.max(...across), ...box }, tint(colour), (px, py) =>
      inside((px - middleX) / ahead, (py - middleY) / size),
    );
  };
  const body = (px: number, py: number): boolean => (px / 8) ** 2 + (py / 6) ** 2 <= 1;
  const head = (px: number, py: number): boolean => (px - 6) ** 2 + (py + 6.5) ** 2 <= 16;
  const coat = backColours[back]!;

  paint(coat, [longTail ? -14 : -10, -2.6, -5, 0.6], () => true);
  paint(coat, [-8, -6, 8, 6], body);
  paint(coat, [2, -10.5, 10, -2.5], head);
  paint(
    breastColours[breast],
    [-2, -6, 10, 6],
    (px, py) => (body(px, py) && px + py * 0.8 > 2.5) || (head(px, py) && py > -5),
  );
  if (crest) paint(coat, [0, -14, 7, -9], (px, py) => Math.abs(px - 4 - (py + 9) * 0.4) <= (py + 14) * 0.5);
  if (wingBar) paint([245, 240, 225], [-8, -6, 2, 6], (px, py) => body(px, py) && Math.abs(px + 3 - py * 0.5) <= 1.2);
  const beakEnd = longBeak ? 16 : 12;
  paint([235, 150, 40], [9, -10, beakEnd, -2], (px, py) => Math.abs(py + 6) <= (beakEnd + 1 - px) * 0.45);
  paint([10, 10, 10], [6, -9, 9, -6], (px, py) => (px - 7.3) ** 2 + (py + 7.3) ** 2 <= 1);
  return picture.pixels;
}

/** Telling kinds apart by fine marks, like CUB-200-2011. */
export const kindsTask: Task = {
  name: 'kinds',
  kind: 'target',
  chance: 100 / kindNames.length,
  sample(rng, split) {
    const { drawn, content } = drawInSplit(
      split,
      () => drawIndividual(rng),
      (individual) => Object.values(individual).join(' '),
    );
    return { image: drawBird(rng, drawn), prompt: 'which bird is this ?', answer: drawn.kind, content };
  },
};
