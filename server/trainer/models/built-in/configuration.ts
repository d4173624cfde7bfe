import { z } from 'zod';

/** The config.json of the built-in model: sizes, which determine everything else. */
export const BuiltInConfig = z.object({
  imageSize: z.number().int().positive(),
  patchSize: z.number().int().positive(),
  /** Width of the vision tower, the projector and the decoder. */
  hiddenSize: z.number().int().positive(),
  visionLayers: z.number().int().positive(),
  visionIntermediateSize: z.number().int().positive(),
  decoderLayers: z.number().int().positive(),
  intermediateSize: z.number().int().positive(),
  heads: z.number().int().positive(),
  vocabSize: z.number().int().positive(),
  maxTextTokens: z.number().int().positive(),
  ropeTheta: z.number().positive(),
  rmsNormEps: z.number().positive(),
});
export type BuiltInConfig = z.infer<typeof BuiltInConfig>;

/** Visual tokens of one picture. */
export const visualTokens = (config: BuiltInConfig): number => (config.imageSize / config.patchSize) ** 2;
