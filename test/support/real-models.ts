/**
 * Models of published sizes with the parameter lists of transformers. The counts match the real classes: `realSizes` in
 * test/golden/model-names.*.json.
 */
export interface ListedParameter {
  name: string;
  shape: number[];
  size: number;
}

const listed = (name: string, ...shape: number[]): ListedParameter => ({
  name,
  shape,
  size: shape.reduce((product, length) => product * length, 1),
});
const layers = (count: number, each: (layer: number) => ListedParameter[]): ListedParameter[] =>
  Array.from({ length: count }, (_, layer) => each(layer)).flat();
const withBias = (path: string, out: number, into: number): ListedParameter[] => [
  listed(`${path}.weight`, out, into),
  listed(`${path}.bias`, out),
];
const gatedMlp = (path: string, width: number, inner: number): ListedParameter[] => [
  listed(`${path}.gate_proj.weight`, inner, width),
  listed(`${path}.up_proj.weight`, inner, width),
  listed(`${path}.down_proj.weight`, width, inner),
];

function decoder(
  path: string,
  { layers: count, width, keyValueWidth, inner, vocabulary, biases }: Record<string, number>,
): ListedParameter[] {
  const projection = (at: string, out: number): ListedParameter[] =>
    biases ? withBias(at, out, width!) : [listed(`${at}.weight`, out, width!)];
  return [
    listed(`${path}.embed_tokens.weight`, vocabulary!, width!),
    ...layers(count!, (layer) => {
      const at = `${path}.layers.${layer}`;
      return [
        ...projection(`${at}.self_attn.q_proj`, width!),
        ...projection(`${at}.self_attn.k_proj`, keyValueWidth!),
        ...projection(`${at}.self_attn.v_proj`, keyValueWidth!),
        listed(`${at}.self_attn.o_proj.weight`, width!, width!),
        ...gatedMlp(`${at}.mlp`, width!, inner!),
        listed(`${at}.input_layernorm.weight`, width!),
        listed(`${at}.post_attention_layernorm.weight`, width!),
      ];
    }),
    listed(`${path}.norm.weight`, width!),
  ];
}

/** Qwen2.5-VL 7B: 28 decoder layers, 32 blocks of its vision tower, 729 tensors. */
export function qwen25Vl7b(): ListedParameter[] {
  const width = 1280;
  return [
    listed('model.visual.patch_embed.proj.weight', width, 3, 2, 14, 14),
    ...layers(32, (layer) => {
      const at = `model.visual.blocks.${layer}`;
      return [
        listed(`${at}.norm1.weight`, width),
        listed(`${at}.norm2.weight`, width),
        ...withBias(`${at}.attn.qkv`, 3 * width, width),
        ...withBias(`${at}.attn.proj`, width, width),
        ...withBias(`${at}.mlp.gate_proj`, 3420, width),
        ...withBias(`${at}.mlp.up_proj`, 3420, width),
        ...withBias(`${at}.mlp.down_proj`, width, 3420),
      ];
    }),
    listed('model.visual.merger.ln_q.weight', width),
    ...withBias('model.visual.merger.mlp.0', 4 * width, 4 * width),
    ...withBias('model.visual.merger.mlp.2', 3584, 4 * width),
    ...decoder('model.language_model', {
      ...{ layers: 28, width: 3584, keyValueWidth: 512, inner: 18944, vocabulary: 152064, biases: 1 },
    }),
    listed('lm_head.weight', 152064, 3584),
  ];
}

/** LLaVA-1.5 7B: 686 tensors; `before` as transformers listed them until 4.51. */
export function llava15(before = false): ListedParameter[] {
  const [tower, projector, text, head] = before
    ? ['vision_tower.vision_model', 'multi_modal_projector', 'language_model.model', 'language_model.lm_head']
    : ['model.vision_tower.vision_model', 'model.multi_modal_projector', 'model.language_model', 'lm_head'];
  const width = 1024;
  const norm = (path: string): ListedParameter[] => [listed(`${path}.weight`, width), listed(`${path}.bias`, width)];
  return [
    listed(`${tower}.embeddings.class_embedding`, width),
    listed(`${tower}.embeddings.patch_embedding.weight`, width, 3, 14, 14),
    listed(`${tower}.embeddings.position_embedding.weight`, 577, width),
    ...norm(`${tower}.pre_layrnorm`),
    ...layers(24, (layer) => {
      const at = `${tower}.encoder.layers.${layer}`;
      return [
        ...['k', 'v', 'q', 'out'].flatMap((name) => withBias(`${at}.self_attn.${name}_proj`, width, width)),
        ...norm(`${at}.layer_norm1`),
        ...withBias(`${at}.mlp.fc1`, 4096, width),
        ...withBias(`${at}.mlp.fc2`, width, 4096),
        ...norm(`${at}.layer_norm2`),
      ];
    }),
    ...norm(`${tower}.post_layernorm`),
    ...withBias(`${projector}.linear_1`, 4096, width),
    ...withBias(`${projector}.linear_2`, 4096, 4096),
    ...decoder(text, { layers: 32, width: 4096, keyValueWidth: 4096, inner: 11008, vocabulary: 32064 }),
    listed(`${head}.weight`, 32064, 4096),
  ];
}

/**
 * A mixture of experts as transformers 4 lists it, with separate projections for each expert. 48 layers of 128 experts:
 * 18,867.
 */
export function mixture(layerCount = 48, experts = 128): ListedParameter[] {
  const [width, inner] = [2048, 768];
  return [
    listed('model.embed_tokens.weight', 151936, width),
    ...layers(layerCount, (layer) => {
      const at = `model.layers.${layer}`;
      return [
        ...['q', 'k', 'v', 'o'].map((name) => listed(`${at}.self_attn.${name}_proj.weight`, width, width)),
        listed(`${at}.self_attn.q_norm.weight`, 128),
        listed(`${at}.self_attn.k_norm.weight`, 128),
        listed(`${at}.mlp.gate.weight`, experts, width),
        ...layers(experts, (expert) => gatedMlp(`${at}.mlp.experts.${expert}`, width, inner)),
        listed(`${at}.input_layernorm.weight`, width),
        listed(`${at}.post_attention_layernorm.weight`, width),
      ];
    }),
    listed('model.norm.weight', width),
    listed('lm_head.weight', 151936, width),
  ];
}
