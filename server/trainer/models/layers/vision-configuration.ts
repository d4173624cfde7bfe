import { z } from 'zod';
import { readFields, refuseIn, type Refuse } from './configuration-file.js';

/** How a tower's MLP bends its values, by the names of transformers. */
export const visionActivations = ['quick_gelu', 'gelu', 'gelu_pytorch_tanh'] as const;

/** A vision transformer on square patches of square pictures, as its config.json says. */
export interface VisionConfiguration {
  kind: VisionKind;
  width: number;
  feedForward: number;
  layers: number;
  heads: number;
  /** Side of a picture in pixels. */
  picture: number;
  /** Side of a patch in pixels. */
  patch: number;
  /** Side of a picture in patches. */
  side: number;
  activation: (typeof visionActivations)[number];
  layerNormEps: number;
}

/** Towers by the `model_type` of `vision_config`, with what transformers' class has where it says nothing. */
const kinds = {
  clip_vision_model: { patch_size: 32, hidden_act: 'quick_gelu', layer_norm_eps: 1e-5 },
  siglip_vision_model: { patch_size: 16, hidden_act: 'gelu_pytorch_tanh', layer_norm_eps: 1e-6 },
} as const;
export type VisionKind = keyof typeof kinds;
export const visionKinds = Object.keys(kinds) as VisionKind[];

const count = z.number().int().positive();
const VisionConfig = z.object({
  hidden_size: count.default(768),
  intermediate_size: count.default(3072),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  num_channels: z.literal(3).default(3),
  image_size: count.default(224),
  patch_size: count,
  hidden_act: z.enum(visionActivations),
  layer_norm_eps: z.number().positive(),
  /** SigLIP's pooling head, which no family here uses. */
  vision_use_head: z.boolean().optional(),
});

/**
 * @param config `vision_config` of config.json
 * @throws ConfigurationError naming the field
 */
export function visionConfiguration(config: unknown): VisionConfiguration {
  const refuse: Refuse = refuseIn('config.json', 'vision_config');
  const given = z.looseObject({ model_type: z.string() }).safeParse(config);
  if (!given.success) return refuse('model_type', `is missing; known are ${visionKinds.join(', ')}`);
  const kind =
    visionKinds.find((name) => name === given.data.model_type) ??
    refuse('model_type', `is ${given.data.model_type}; known are ${visionKinds.join(', ')}`);
  const read = readFields(VisionConfig, { ...kinds[kind], ...given.data }, refuse);
  if (kind === 'siglip_vision_model' && read.vision_use_head !== false)
    refuse('vision_use_head', 'must be false: the tower has a pooling head that this trainer does not keep');
  if (read.hidden_size % read.num_attention_heads !== 0)
    refuse('num_attention_heads', `is ${read.num_attention_heads}; it must divide hidden_size, ${read.hidden_size}`);
  if (read.patch_size > read.image_size)
    refuse('patch_size', `is ${read.patch_size}; a picture has ${read.image_size} pixels`);
  return {
    kind,
    width: read.hidden_size,
    feedForward: read.intermediate_size,
    layers: read.num_hidden_layers,
    heads: read.num_attention_heads,
    picture: read.image_size,
    patch: read.patch_size,
    side: Math.floor(read.image_size / read.patch_size),
    activation: read.hidden_act,
    layerNormEps: read.layer_norm_eps,
  };
}
