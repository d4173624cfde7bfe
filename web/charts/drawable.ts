/**
 * The largest size that is drawn as height. Training computes in float32, which ends at 3.4e38. What is beyond stands for
 * an overflow: trackers that cannot store Infinity store the largest number of a type in its place.
 */
const largestDrawn = 1e38;

/** Whether a value can be drawn as height; all others are marked at the plot's edge, as NaN is. */
export const isDrawable = (value: number): boolean => Math.abs(value) <= largestDrawn;
