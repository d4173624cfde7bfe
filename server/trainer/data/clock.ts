import type { Rng } from '@plumbline/shared/rng';
import { Picture, type Colour } from './picture.js';
import { sceneColours } from './scene.js';
import { drawInSplit, pictureSize, type Task } from './task.js';

export const minutesRead = ['00', '15', '30', '45'] as const;

const clockColours = ['white', 'yellow', 'teal', 'orange'] as const;
const handColours = ['red', 'blue', 'purple', 'green'] as const;
interface Clock {
  hour: number;
  quarter: number;
  face: (typeof clockColours)[number];
  hands: (typeof handColours)[number];
}

function drawClock(rng: Rng, { hour, quarter, face, hands }: Clock): Uint8Array {
  const grey = 15 + rng.uniform() * 40;
  const picture = new Picture([grey, grey, grey]);
  const middle = pictureSize / 2 + (rng.uniform() - 0.5);
  const radius = 13.5 + rng.uniform() * 1.5;
  const whole = { left: 0, top: 0, right: pictureSize, bottom: pictureSize };
  const tint = (colour: Colour): Colour =>
    colour.map((value) => value * (0.9 + rng.uniform() * 0.1)) as unknown as Colour;
  picture.paint(whole, tint(sceneColours[face]), (x, y) => (x - middle) ** 2 + (y - middle) ** 2 <= radius ** 2);
  const hand = (turn: number, length: number, width: number, colour: Colour): void => {
    const [dx, dy] = [Math.sin(turn * 2 * Math.PI), -Math.cos(turn * 2 * Math.PI)];
    const [tipX, tipY] = [middle + dx * length, middle + dy * length];
    const reach = width + 1;
    const box = {
      left: Math.min(middle, tipX) - reach,
      top: Math.min(middle, tipY) - reach,
      right: Math.max(middle, tipX) + reach,
      bottom: Math.max(middle, tipY) + reach,
    };
    picture.paint(box, colour, (x, y) => {
      const along = (x - middle) * dx + (y - middle) * dy;
      const across = Math.abs((x - middle) * dy - (y - middle) * dx);
      return along >= -1 && along <= length && across <= width;
    });
  };
  hand((hour + quarter / 4) / 12, radius * 0.55, 1.5, tint(sceneColours[hands]));
  hand(quarter / 4, radius * 0.92, 0.8, [20, 20, 20]);
  return picture.pixels;
}

/** Reading the time from two hands, to the quarter of an hour, like TimeClock. */
export const clockTask: Task = {
  name: 'clock',
  kind: 'target',
  chance: 100 / 48,
  sample(rng, split) {
    const { drawn: clock, content } = drawInSplit(
      split,
      (): Clock => ({
        hour: 1 + rng.integer(12),
        quarter: rng.integer(4),
        face: rng.pick(clockColours),
        hands: rng.pick(handColours),
      }),
      ({ hour, quarter, face, hands }) => `${hour}:${quarter} ${face} ${hands}`,
    );
    const answer = `${clock.hour} : ${minutesRead[clock.quarter]!}`;
    return { image: drawClock(rng, clock), prompt: 'what time is it ?', answer, content };
  },
};
