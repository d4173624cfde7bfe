import { z } from 'zod';
import { ConfigurationError } from '../blueprint.js';
import { readFields, refuseIn, type Refuse } from './configuration-file.js';
import type { DecoderConfiguration } from './decoder.js';
import type { Rope } from './rotary.js';

/*
 * The configuration of a language model, in the spellings of transformers 4 (rope_theta, rope_scaling) and 5
 * (rope_parameters). A configuration within another one leaves out what its class has by default.
 */

const count = z.number().int().positive();

const Scaling = z.looseObject({
  rope_type: z.string().optional(),
  /** Its name before transformers 4.43. */
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: count.optional(),
  mrope_section: z.array(count).optional(),
});
type Scaling = z.infer<typeof Scaling>;

const TextConfig = z.object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  hidden_act: z.literal('silu').default('silu'),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: Scaling.nullish(),
  rope_parameters: Scaling.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().default(false),
});
type TextConfig = z.infer<typeof TextConfig>;

interface Kind {
  /** What transformers' class has where config.json says nothing. */
  defaults: Partial<TextConfig>;
  biases: (config: TextConfig) => DecoderConfiguration['biases'];
  window: (config: TextConfig) => number | null | undefined;
}

const common = { vocab_size: 32_000, hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32 };
const none = { queryKeyValue: false, output: false, mlp: false };
const kinds = {
  llama: {
    defaults: { ...common, intermediate_size: 11_008 },
    biases: ({ attention_bias, mlp_bias }) => ({
      ...{ queryKeyValue: attention_bias, output: attention_bias, mlp: mlp_bias },
    }),
    window: () => undefined,
  },
  mistral: {
    defaults: { ...common, intermediate_size: 14_336, num_key_value_heads: 8, sliding_window: 4096 },
    biases: () => none,
    window: ({ sliding_window }) => sliding_window,
  },
  qwen2: {
    defaults: { ...common, vocab_size: 151_936, intermediate_size: 22_016 },
    biases: () => ({ ...none, queryKeyValue: true }),
    window: ({ use_sliding_window, sliding_window }) => (use_sliding_window ? sliding_window : undefined),
  },
} as const satisfies Record<string, Kind>;
export type TextKind = keyof typeof kinds;

/** The kind of language model that a `model_type` within `text_config` names. */
const kindsByType: Readonly<Record<string, TextKind>> = {
  ...{ llama: 'llama', mistral: 'mistral', qwen2: 'qwen2', qwen2_5_vl_text: 'qwen2' },
};

export interface TextConfigurationOptions {
  /** Default: by the configuration's `model_type`. */
  kind?: TextKind;
  /** Where the configuration lies in config.json, such as `text_config`; defaults of its class then hold. */
  within?: string;
}

/**
 * @param config a language model's part of config.json
 * @throws ConfigurationError naming the field
 */
export function textConfiguration(
  config: unknown,
  { kind, within }: TextConfigurationOptions = {},
): DecoderConfiguration {
  const refuse: Refuse = refuseIn('config.json', within);
  const given = z.record(z.string(), z.unknown()).safeParse(config);
  if (!given.success) throw new ConfigurationError(`config.json: ${within ?? 'the whole file'} is not an object.`);
  const type = String(given.data['model_type']);
  const name = kind ?? kindsByType[type] ?? refuse('model_type', `is ${type}; known are ${Object.keys(kindsByType).join(', ')}`); // prettier-ignore
  const { defaults, biases, window }: Kind = kinds[name];
  const read = readFields(TextConfig, within === undefined ? given.data : { ...defaults, ...given.data }, refuse);
  const { hidden_size: width, num_attention_heads: heads } = read;
  const keyValueHeads = read.num_key_value_heads ?? heads;
  const headSize = read.head_dim ?? width / heads;
  if (heads % keyValueHeads !== 0)
    refuse('num_key_value_heads', `is ${keyValueHeads}; it must divide the ${heads} attention heads`);
  if (!Number.isInteger(headSize) || headSize % 2 !== 0)
    refuse('head_dim', `is ${headSize} (hidden_size ${width} / ${heads} heads); it must be an even integer`);
  const seen = window(read);
  return {
    layers: read.num_hidden_layers,
    width,
    heads,
    keyValueHeads,
    headSize,
    feedForward: read.intermediate_size,
    vocabulary: read.vocab_size,
    rmsNormEps: read.rms_norm_eps,
    rope: ropeOf(read, refuse),
    biases: biases(read),
    tied: read.tie_word_embeddings,
    ...(typeof seen === 'number' && { window: seen }),
  };
}

function ropeOf(config: TextConfig, refuse: Refuse): Rope {
  const field = config.rope_parameters ? 'rope_parameters' : 'rope_scaling';
  const given: Scaling = config.rope_parameters ?? config.rope_scaling ?? {};
  const need = <K extends keyof Scaling>(key: K): NonNullable<Scaling[K]> =>
    given[key] ?? refuse(`${field}.${String(key)}`, 'is missing');
  const theta = given.rope_theta ?? config.rope_theta ?? 10_000;
  const sections = given.mrope_section && { sections: given.mrope_section };
  const type = given.rope_type ?? given.type ?? 'default';
  if (type === 'default' || type === 'mrope') return { theta, ...sections };
  if (type === 'linear') return { theta, ...sections, scaling: { type, factor: need('factor') } };
  if (type !== 'llama3') return refuse(`${field}.rope_type`, `is ${type}; known are default, linear, llama3 and mrope`);
  const [factor, lowFactor, highFactor] = [need('factor'), need('low_freq_factor'), need('high_freq_factor')];
  const pretrainedPositions = need('original_max_position_embeddings');
  return { theta, scaling: { type, factor, lowFactor, highFactor, pretrainedPositions } };
}
