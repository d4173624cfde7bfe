import { describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { kindNames, kinds, kindsTask, type Kind } from './kinds.js';
import { pictureSize } from './task.js';

const marks = (kind: Kind): string[] => Object.values(kinds[kind]).map(String);
const partsApart = (a: Kind, b: Kind): number => marks(a).filter((mark, part) => mark !== marks(b)[part]).length;

describe('kinds of birds', () => {
  it.each(kindNames)('has a kind that differs from the %s in one part, and none that is equal', (kind) => {
    const apart = kindNames.filter((other) => other !== kind).map((other) => partsApart(kind, other));
    expect(Math.min(...apart)).toBe(1);
  });

  it('show the colour of the breast, for any back and background', () => {
    const rng = new Rng(1);
    for (let i = 0; i < 200; i++) {
      const { image, answer } = kindsTask.sample(rng, 'train');
      // A breast is a large patch of its own colour; backs and backgrounds are duller than red and yellow ones.
      let red = 0;
      let yellow = 0;
      for (let at = 0; at < pictureSize * pictureSize * 3; at += 3) {
        const [r, g, b] = [image[at]!, image[at + 1]!, image[at + 2]!];
        if (r > 170 && g < 95 && b < 90) red++;
        if (r > 200 && g > 180 && b < 90) yellow++;
      }
      const { breast } = kinds[answer as Kind];
      expect([red > 15, yellow > 15]).toEqual([breast === 'red', breast === 'yellow']);
    }
  });

  it('are drawn about equally often', () => {
    const rng = new Rng(2);
    const counts = new Map<string, number>();
    for (let i = 0; i < 2400; i++) {
      const { answer } = kindsTask.sample(rng, 'evaluation');
      counts.set(answer, (counts.get(answer) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([...kindNames].sort());
    // The split is by content, so it contains about a tenth of each kind's individuals.
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(100);
  });
});
