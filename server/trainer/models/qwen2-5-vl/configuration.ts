import { z } from 'zod';
import { readFieldsWithVision, refuseIn, type Refuse } from '../layers/configuration-file.js';
import { textConfiguration } from '../layers/text-configuration.js';
import type { VisionLanguageConfiguration } from '../layers/vision-language-model.js';

/** The vision transformer: any size of picture, attention within windows in most blocks. */
export interface VisionSizes {
  layers: number;
  width: number;
  feedForward: number;
  heads: number;
  /** Width of the features that the merger makes. */
  out: number;
  /** Side of a patch in pixels. */
  patch: number;
  /** Frames that a patch spans: a picture is repeated. */
  frames: number;
  /** Side of a cell in patches: its patches become one visual token. */
  merge: number;
  /** Side of a window in cells. */
  window: number;
  /** Numbers of the blocks that attend to the whole picture. */
  fullBlocks: readonly number[];
  theta: number;
}

export interface QwenVlConfiguration extends VisionLanguageConfiguration {
  vision: VisionSizes;
}

const count = z.number().int().positive();
/** Defaults of transformers' Qwen2_5_VLVisionConfig. */
const VisionConfig = z.object({
  depth: count.default(32),
  hidden_size: count.default(3584),
  intermediate_size: count.default(3420),
  num_heads: count.default(16),
  out_hidden_size: count.default(3584),
  hidden_act: z.literal('silu').default('silu'),
  in_channels: z.literal(3).default(3),
  patch_size: count.default(14),
  spatial_merge_size: count.default(2),
  temporal_patch_size: count.default(2),
  window_size: count.default(112),
  fullatt_block_indexes: z.array(z.number().int().nonnegative()).default([7, 15, 23, 31]),
  rope_parameters: z.looseObject({ rope_theta: z.number().positive().default(10_000) }).nullish(),
});
const Config = z.looseObject({
  vision_config: VisionConfig,
  text_config: z.looseObject({}).nullish(),
  image_token_id: z.number().int().nonnegative().default(151_655),
  tie_word_embeddings: z.boolean().default(false),
});

/** Defaults of transformers' Qwen2_5_VLTextConfig. Published files say rms_norm_eps 1e-6. */
const textDefaults = {
  vocab_size: 152_064,
  hidden_size: 8192,
  intermediate_size: 29_568,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
};
const defaultSections = [16, 24, 24];

/**
 * @param config the parsed config.json: with the language model in `text_config`, or flat as it is published
 * @throws ConfigurationError naming the field
 */
export function qwenVlConfiguration(config: unknown): QwenVlConfiguration {
  const refuse: Refuse = refuseIn('config.json');
  const fields = readFieldsWithVision(Config, config, refuse);
  const { vision_config, text_config, image_token_id, tie_word_embeddings, ...flat } = fields;
  const within = text_config ? 'text_config' : undefined;
  const given = text_config ?? flat;
  const read = textConfiguration(
    { ...textDefaults, tie_word_embeddings, ...given },
    { kind: 'qwen2', ...(within && { within }) },
  );
  const sections = read.rope.sections ?? defaultSections;
  const sum = sections.reduce((a, b) => a + b, 0);
  if (sections.length !== 3 || sum !== read.headSize / 2)
    refuse('mrope_section', `is ${sections.join(', ')}; it must be three numbers with the sum ${read.headSize / 2}, half the head size`); // prettier-ignore
  if (image_token_id >= read.vocabulary)
    refuse('image_token_id', `is ${image_token_id}; the vocabulary has ${read.vocabulary} tokens`);
  const vision = visionSizes(vision_config, refuse);
  if (vision.out !== read.width)
    refuse('vision_config.out_hidden_size', `is ${vision.out}; the language model's hidden_size is ${read.width}`);
  return {
    text: { ...read, tied: read.tied || tie_word_embeddings, rope: { ...read.rope, sections } },
    vision,
    pictureToken: image_token_id,
  };
}

function visionSizes(read: z.infer<typeof VisionConfig>, refuse: Refuse): VisionSizes {
  const { hidden_size: width, num_heads: heads, patch_size: patch, spatial_merge_size: merge } = read;
  const window = read.window_size / patch / merge;
  if (!Number.isInteger(width / heads / 4))
    refuse('vision_config.num_heads', `is ${heads}; hidden_size ${width} / num_heads must be a multiple of 4`);
  if (!Number.isInteger(window))
    refuse('vision_config.window_size', `is ${read.window_size}; it must be a multiple of ${patch * merge} pixels`);
  const none = read.fullatt_block_indexes.find((block) => block >= read.depth);
  if (none !== undefined)
    refuse('vision_config.fullatt_block_indexes', `names the block ${none}; there are ${read.depth}`);
  return {
    layers: read.depth,
    width,
    feedForward: read.intermediate_size,
    heads,
    out: read.out_hidden_size,
    patch,
    frames: read.temporal_patch_size,
    merge,
    window,
    fullBlocks: read.fullatt_block_indexes,
    theta: read.rope_parameters?.rope_theta ?? 10_000,
  };
}
