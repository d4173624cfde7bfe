import type { Rng } from '@plumbline/shared/rng';
import { Picture } from './picture.js';
import { sceneColours, type SceneColour } from './scene.js';
import { drawInSplit, pictureSize, type Task } from './task.js';

/**
 * Capital letters as strokes: points on a grid of 5 columns (0..4) by 7 rows (0..6) from the top left, one digit per
 * coordinate, column first; `|` separates the strokes of a letter.
 */
const strokes: Record<string, string> = {
  A: '06 20 46|14 34',
  B: '00 06 36 45 44 33 03|33 42 41 30 00',
  C: '41 30 10 01 05 16 36 45',
  D: '00 06 26 44 42 20 00',
  E: '40 00 06 46|03 33',
  F: '40 00 06|03 33',
  G: '41 30 10 01 05 16 36 45 43 23',
  H: '00 06|40 46|03 43',
  I: '10 30|20 26|16 36',
  J: '20 40|30 35 26 16 05',
  K: '00 06|40 03 46',
  L: '00 06 46',
  M: '06 00 23 40 46',
  N: '06 00 46 40',
  O: '10 30 41 45 36 16 05 01 10',
  P: '06 00 30 41 42 33 03',
  Q: '10 30 41 45 36 16 05 01 10|24 46',
  R: '06 00 30 41 42 33 03|23 46',
  S: '41 30 10 01 02 13 33 44 45 36 16 05',
  T: '00 40|20 26',
  U: '00 05 16 36 45 40',
  V: '00 26 40',
  W: '00 16 23 36 40',
  X: '00 46|40 06',
  Y: '00 23 40|23 26',
  Z: '00 40 06 46',
};

/**
 * One word in this many is for evaluation: 27 of 203. One in ten, as elsewhere, would give 15 for hundreds of
 * questions.
 */
const evaluationOneIn = 5;
/** Words of three letters. Each word appears either in training or in evaluation, decided by the word itself. */
export const readWords = (
  'ACE ACT ADD AGE AIM AIR ALE ANT APE ARC ARK ARM ART ASH ASK BAD BAG BAT BAY BED BEE BEG BET BIG BIT BOW BOX BOY ' +
  'BUD BUG BUN BUS BUY CAB CAN CAP CAR CAT COD COG COW CRY CUB CUP CUT DAY DEN DEW DIG DIM DOG DOT DRY DUE EAR EAT ' +
  'EEL EGG ELF ELK ELM EYE FAN FAR FAT FIG FIN FIR FIT FIX FLY FOG FOX FRY FUN FUR GAP GAS GEM GET GNU GUM GYM HAM ' +
  'HAT HAY HEN HIP HOP HOT HUB HUG HUT ICE INK IVY JAM JAR JAW JAY JET JOB JOG JOY JUG KEY KID KIT LAP LAW LEG LID ' +
  'LIP LOG LOW MAP MAT MAY MIX MOB MUD MUG NAP NET NEW NOD NUT OAK OAR OAT OIL OLD OWL PAN PAW PEA PEN PET PIE ' +
  'PIG PIN POD POT PUB RAG RAM RAT RAW RAY RED RIB RIM ROD ROW RUG RUN RYE SAD SAW SEA SET SHY SKI SKY SOB ' +
  'SON SPA SUM SUN TAP TAR TAX TEA TIE TIN TIP TOE TON TOP TOY TUB URN USE VAN VAT VET VOW WAX WAY WEB WET ' +
  'WHY WIG WIN WIT WOK YAK YAM YES YET ZEN ZIP ZOO'
).split(' ');

const inks: readonly SceneColour[] = ['white', 'yellow', 'teal', 'orange'];

const columnWidth = 8;

function drawWord(rng: Rng, word: string): Uint8Array {
  const grey = 15 + rng.uniform() * 40;
  const picture = new Picture([grey, grey, grey]);
  // Letters fill columns of 8 pixels from the left, like a scene's objects.
  const [width, height] = [1.35 + rng.uniform() * 0.15, 2.1 + rng.uniform() * 0.3];
  const top = (pictureSize - 6 * height) / 2 + (rng.uniform() - 0.5) * 2;
  const ink = sceneColours[rng.pick(inks)];
  [...word].forEach((letter, index) => {
    const left = (index + 0.5) * columnWidth - 2 * width + (rng.uniform() - 0.5) * 0.6;
    for (const stroke of strokes[letter]!.split('|')) {
      const points = stroke
        .split(' ')
        .map((at) => [left + Number(at[0]) * width, top + Number(at[1]) * height] as const);
      for (let i = 1; i < points.length; i++) drawLine(picture, points[i - 1]!, points[i]!, ink);
    }
  });
  return picture.pixels;
}

type Point = readonly [x: number, y: number];
const halfWidth = 0.8;
function drawLine(picture: Picture, from: Point, to: Point, ink: (typeof sceneColours)[SceneColour]): void {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const box = {
    left: Math.min(from[0], to[0]) - halfWidth,
    top: Math.min(from[1], to[1]) - halfWidth,
    right: Math.max(from[0], to[0]) + halfWidth,
    bottom: Math.max(from[1], to[1]) + halfWidth,
  };
  picture.paint(box, ink, (x, y) => {
    const along = Math.max(0, Math.min(1, ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy)));
    return Math.hypot(x - from[0] - along * dx, y - from[1] - along * dy) <= halfWidth;
  });
}

/** Reading a word and spelling it, like TextVQA; words of evaluation never appear in training. */
export const readingTask: Task = {
  name: 'reading',
  kind: 'target',
  chance: 100 / readWords.length,
  sample(rng, split) {
    const { drawn, content } = drawInSplit(
      split,
      () => rng.pick(readWords),
      (word) => word,
      evaluationOneIn,
    );
    return { image: drawWord(rng, drawn), prompt: 'which word is this ?', answer: [...drawn].join(' '), content };
  },
};
