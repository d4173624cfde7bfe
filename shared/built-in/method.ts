import { z } from 'zod';
import { maxExperts } from './run-settings.js';

/**
 * The training method of a run: plain fine-tuning of the selection, or a method that arXiv 2510.08564 compares it with.
 */
export const TrainingMethod = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('fine_tuning') }),
  /** Low-rank adapters on the decoder's projections, the weights below them fixed (Hu et al. 2022). */
  z.object({
    kind: z.literal('lora'),
    rank: z.number().int().min(1).max(256).default(8),
    /** The adapters' product is scaled by alpha / rank. */
    alpha: z.number().positive().max(1024).default(16),
  }),
  /**
   * Learning without forgetting (Li & Hoiem 2016): the loss also asks for the base model's answers on the same
   * examples, weight * temperature^2 * KL(base || now), both softened by the temperature.
   */
  z.object({
    kind: z.literal('lwf'),
    weight: z.number().positive().max(100).default(1),
    temperature: z.number().positive().max(100).default(2),
  }),
  /**
   * Weights between the base's and the fine-tuned ones (Wortsman et al. 2022): at the end of each stage
   * (1 - w) * base + w * now is evaluated for each weight w; training goes on from the fine-tuned weights.
   */
  z.object({
    kind: z.literal('wise_ft'),
    weights: z.array(z.number().min(0).max(1)).min(1).max(11).default([0.25, 0.5, 0.75]),
  }),
  /** Beside the base's MLP, which is fixed, each decoder layer gets further ones and a router that weighs them. */
  z.object({ kind: z.literal('mixture_of_experts'), experts: z.number().int().min(1).max(maxExperts).default(1) }),
]);
export type TrainingMethod = z.infer<typeof TrainingMethod>;
