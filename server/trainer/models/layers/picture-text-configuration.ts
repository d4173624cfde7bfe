import { z } from 'zod';
import { ConfigurationError } from '../blueprint.js';
import type { Size, Tiling } from './anyres.js';
import { readFields, refuseIn, type Refuse } from './configuration-file.js';
import type { DecoderConfiguration } from './decoder.js';
import { textConfiguration } from './text-configuration.js';
import { visionConfiguration, type VisionConfiguration } from './vision-configuration.js';
import { featureLayers, towerPositions } from './vision-tower.js';

/** A vision tower, a projector of two layers and a language model: LLaVA and its successors. */
export interface PictureTextConfiguration {
  text: DecoderConfiguration;
  vision: VisionConfiguration;
  /** Numbers of the tower's layers behind which features are taken. */
  features: readonly number[];
  /** Whether the first feature of each picture (CLIP's class token) is left out. */
  withoutFirst: boolean;
  projectorBias: boolean;
  /** The token whose embedding a visual token replaces. */
  pictureToken: number;
  /** Tiles of large pictures; a learned token ends each row of their patches. */
  tiling?: Tiling;
}

/** What transformers' class of a family has where config.json says nothing. */
export interface FamilyDefaults {
  vision_config: Record<string, unknown>;
  text_config: Record<string, unknown>;
  image_token_index: number;
  vision_feature_layer: number;
  vision_feature_select_strategy: 'default' | 'full';
  image_grid_pinpoints?: readonly Size[];
  vision_aspect_ratio?: string;
}

/** What LlavaConfig and LlavaNextConfig have in common: Vicuna behind CLIP ViT-L/14 at 336 pixels. */
export const clipLlamaDefaults = {
  vision_config: {
    model_type: 'clip_vision_model',
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    image_size: 336,
    patch_size: 14,
  },
  text_config: { model_type: 'llama' },
  image_token_index: 32_000,
  vision_feature_layer: -2,
  vision_feature_select_strategy: 'default',
} as const satisfies FamilyDefaults;

const count = z.number().int().positive();
const Config = z.object({
  vision_config: z.looseObject({}),
  text_config: z.looseObject({}),
  image_token_index: z.number().int().nonnegative(),
  /** Its name in transformers 5. */
  image_token_id: z.number().int().nonnegative().optional(),
  vision_feature_layer: z.union([z.number().int(), z.array(z.number().int()).min(1)]),
  vision_feature_select_strategy: z.enum(['default', 'full']),
  projector_hidden_act: z.literal('gelu').default('gelu'),
  multimodal_projector_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
  image_grid_pinpoints: z
    .array(z.tuple([count, count]))
    .min(1)
    .nullish(),
  vision_aspect_ratio: z
    .string()
    .regex(/^anyres_max_[1-9]\d*$/, 'it must be anyres_max_ and a number')
    .optional(),
});

/**
 * @param config the parsed config.json
 * @throws ConfigurationError naming the field
 */
export function pictureTextConfiguration(config: unknown, defaults: FamilyDefaults): PictureTextConfiguration {
  const refuse: Refuse = refuseIn('config.json');
  const given = z.record(z.string(), z.unknown()).safeParse(config);
  if (!given.success) throw new ConfigurationError('config.json: the whole file is not an object.');
  const read = readFields(Config, { ...defaults, ...given.data }, refuse);
  const vision = visionConfiguration(read.vision_config);
  const text = textConfiguration(read.text_config, { within: 'text_config' });
  const features = featureLayers(vision, [read.vision_feature_layer].flat());
  if (!features)
    return refuse('vision_feature_layer', `is ${[read.vision_feature_layer].flat().join(', ')}; the tower has ${vision.layers} layers`); // prettier-ignore
  const pictureToken = read.image_token_id ?? read.image_token_index;
  if (pictureToken >= text.vocabulary)
    refuse('image_token_index', `is ${pictureToken}; the vocabulary has ${text.vocabulary} tokens`);
  const withoutFirst = read.vision_feature_select_strategy === 'default';
  const tiling = defaults.image_grid_pinpoints && tilingOf(read, vision, defaults.image_grid_pinpoints, refuse);
  if (tiling && towerPositions(vision) - (withoutFirst ? 1 : 0) !== vision.side ** 2)
    refuse('vision_feature_select_strategy', `is ${read.vision_feature_select_strategy}, which leaves a number of features that is no square of patches`); // prettier-ignore
  return {
    text: { ...text, tied: text.tied || read.tie_word_embeddings },
    vision,
    features,
    withoutFirst,
    projectorBias: read.multimodal_projector_bias,
    pictureToken,
    ...(tiling && { tiling }),
  };
}

function tilingOf(
  { image_grid_pinpoints, vision_aspect_ratio }: z.infer<typeof Config>,
  { picture, side }: VisionConfiguration,
  usual: readonly Size[],
  refuse: Refuse,
): Tiling {
  const resolutions = image_grid_pinpoints ?? usual;
  const odd = resolutions.find(([height, width]) => height % picture !== 0 || width % picture !== 0);
  if (odd)
    refuse('image_grid_pinpoints', `has ${odd.join(' x ')}; sizes are multiples of the tower's ${picture} pixels`);
  const most = vision_aspect_ratio === undefined ? undefined : Number(vision_aspect_ratio.split('_').at(-1));
  return { resolutions, tile: picture, side, ...(most !== undefined && { most }) };
}
