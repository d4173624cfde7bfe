import { z } from 'zod';
import { maxSeq, maxStep } from './limits.js';

/**
 * The fields of every event: a gap-free number within its run, from 1, and the optimizer step it belongs to. Steps never go
 * back within a segment. To go back to a checkpoint, a trainer opens a branch, which is a run of its own, or begins a
 * segment of a run that has ended.
 */
export const eventBase = {
  seq: z.number().int().positive().max(maxSeq),
  step: z.number().int().nonnegative().max(maxStep),
  /** Epoch milliseconds at the trainer. */
  wallTimeMs: z.number().nonnegative(),
};
