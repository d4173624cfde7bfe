import { z } from 'zod';
import { maxSeq, maxStep } from './limits.js';

/**
 * Every event carries these: a gap-free number within its run from 1, and the optimizer step it belongs to. Steps do not
 * go back within a run, but where a segment begins: whoever goes back to a checkpoint opens a branch, a run of its own, or
 * takes up a run that has ended.
 */
export const eventBase = {
  seq: z.number().int().positive().max(maxSeq),
  step: z.number().int().nonnegative().max(maxStep),
  /** Epoch milliseconds at the trainer. */
  wallTimeMs: z.number().nonnegative(),
};
