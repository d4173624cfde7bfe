import type { RgbPicture } from './rgb-picture.js';

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** A resampling filter: weights by distance, zero from `support` on. */
interface Filter {
  support: number;
  weight(distance: number): number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const filters = {
  bilinear: { support: 1, weight: (x: number): number => Math.max(0, 1 - Math.abs(x)) },
  /** Keys' cubic with a = -0.5. */
  bicubic: {
    support: 2,
    weight: (distance: number): number => {
      const x = Math.abs(distance);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0;
    },
  },
  lanczos: { support: 3, weight: (x: number): number => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const satisfies Record<string, Filter>;

export type ResizeFilter = keyof typeof filters;

/** Bits behind the point of a weight, as in Pillow. */
const precision = 22;

/** For each pixel of the result: the first pixel that it is made of, their number, and their weights. */
interface Weights {
  first: Int32Array;
  count: Int32Array;
  /** [result's pixels, most] in fixed point. */
  weights: Int32Array;
  most: number;
}

/** The weights along one axis. When a picture shrinks, the filter is widened by the same factor (antialiasing). */
function weightsAlong(from: number, to: number, { support, weight }: Filter): Weights {
  const scale = from / to;
  const wide = Math.max(1, scale);
  // Products, as in Pillow: a quotient's last bit can turn a pixel's.
  const narrow = 1 / wide;
  const reach = support * wide;
  const most = Math.ceil(reach) * 2 + 1;
  const [first, count] = [new Int32Array(to), new Int32Array(to)];
  const weights = new Int32Array(to * most);
  for (let pixel = 0; pixel < to; pixel++) {
    const centre = (pixel + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const exact = Array.from({ length: end - start }, (_, i) => weight((i + start - centre + 0.5) * narrow));
    const sum = exact.reduce((a, b) => a + b, 0);
    first[pixel] = start;
    count[pixel] = end - start;
    exact.forEach((value, i) => {
      const fixed = (value / sum) * 2 ** precision;
      weights[pixel * most + i] = Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    });
  }
  return { first, count, weights, most };
}

/**
 * Resamples along one axis. Lines lie across the axis: `lines` of them, `lineStep` apart, with pixels `step` apart.
 */
function resample(
  data: Uint8Array,
  axis: { from: number; to: number; step: number },
  across: { lines: number; stepFrom: number; stepTo: number },
  filter: Filter,
): Uint8Array {
  const { first, count, weights, most } = weightsAlong(axis.from, axis.to, filter);
  const result = new Uint8Array(across.lines * axis.to * 3);
  const half = 1 << (precision - 1);
  for (let line = 0; line < across.lines; line++)
    for (let pixel = 0; pixel < axis.to; pixel++) {
      let [red, green, blue] = [half, half, half];
      let at = line * across.stepFrom + first[pixel]! * axis.step;
      const end = pixel * most + count[pixel]!;
      for (let i = pixel * most; i < end; i++, at += axis.step) {
        const weight = weights[i]!;
        red += data[at]! * weight;
        green += data[at + 1]! * weight;
        blue += data[at + 2]! * weight;
      }
      const to = line * across.stepTo + pixel * axis.step;
      result[to] = clip(red);
      result[to + 1] = clip(green);
      result[to + 2] = clip(blue);
    }
  return result;
}

const clip = (fixed: number): number => Math.max(0, Math.min(255, fixed >> precision));

/**
 * Resizes a picture with antialiasing. The result equals Pillow's to the bit. (sharp shrinks as well, but enlarges with
 * its samples displaced, by some units of 255 on average: pictures that a model enlarges would differ.)
 * @throws Error when a side of either size is not a whole number of 1 or more
 */
export function resizePicture(picture: RgbPicture, { width, height }: PictureSize, filter: ResizeFilter): RgbPicture {
  for (const side of [picture.width, picture.height, width, height])
    if (!Number.isInteger(side) || side < 1)
      throw new Error(
        `A picture of ${picture.width} x ${picture.height} pixels cannot become ${width} x ${height}: sides are whole numbers of 1 or more.`,
      );
  const across = (picture: RgbPicture): RgbPicture => {
    if (width === picture.width) return picture;
    const lines = { lines: picture.height, stepFrom: picture.width * 3, stepTo: width * 3 };
    const axis = { from: picture.width, to: width, step: 3 };
    return { ...picture, width, data: resample(picture.data, axis, lines, filters[filter]) };
  };
  const down = (picture: RgbPicture): RgbPicture => {
    if (height === picture.height) return picture;
    const lines = { lines: picture.width, stepFrom: 3, stepTo: 3 };
    const axis = { from: picture.height, to: height, step: picture.width * 3 };
    return { ...picture, height, data: resample(picture.data, axis, lines, filters[filter]) };
  };
  // Pillow's rule since version 13: columns go first where that makes the rows' work much smaller.
  const lost = picture.height - height;
  return lost > 0 && lost > (picture.width - width) * 2 ? across(down(picture)) : down(across(picture));
}
