import { describe, expect, it } from 'vitest';
import { ConfigurationError } from './blueprint.js';
import { textConfiguration } from './layers/text-configuration.js';
import { readBlueprint } from './registry.js';

/** SmolLM2-135M's config.json, as transformers 4 wrote it. */
const smollm2 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  head_dim: null,
  hidden_act: 'silu',
  hidden_size: 576,
  intermediate_size: 1536,
  max_position_embeddings: 8192,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 100_000,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  vocab_size: 49_152,
};

describe('config.json', () => {
  it('has SmolLM2’s sizes and parameters', () => {
    const { family, text, parameters } = readBlueprint(smollm2);
    expect(family).toBe('llama');
    expect(text).toMatchObject({
      ...{ layers: 30, width: 576, heads: 9, keyValueHeads: 3, headSize: 64, feedForward: 1536, vocabulary: 49_152 },
    });
    const values = parameters.map(({ shape }) => shape.reduce((product, length) => product * length, 1));
    expect(values.reduce((sum, size) => sum + size, 0)).toBe(134_515_008);
    expect(parameters).toHaveLength(272);
  });

  it('means the same in the spellings of transformers 4 and 5', () => {
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
    const before = { ...smollm2, rope_theta: 5e5, rope_scaling: { type: 'llama3', ...llama3 } };
    const { rope_theta, rope_scaling, torch_dtype: dtype, ...rest } = before;
    const now = { ...rest, dtype, rope_parameters: { ...rope_scaling, rope_type: 'llama3', rope_theta } };
    expect(textConfiguration(now)).toEqual(textConfiguration(before));
    expect(textConfiguration(now).rope).toEqual({
      theta: 5e5,
      scaling: { type: 'llama3', factor: 8, lowFactor: 1, highFactor: 4, pretrainedPositions: 8192 },
    });
    const sections = { mrope_section: [16, 24, 24] };
    const qwen = { ...smollm2, model_type: 'qwen2_5_vl_text' };
    for (const rope of [
      { rope_theta: 1e6, rope_scaling: { type: 'mrope', ...sections } },
      { rope_parameters: { rope_type: 'default', rope_theta: 1e6, ...sections } },
    ])
      expect(textConfiguration({ ...qwen, ...rope }).rope).toEqual({ theta: 1e6, sections: [16, 24, 24] });
  });

  it('has biases where the family has them', () => {
    const biased = (changed: object): string[] => [
      ...new Set(
        readBlueprint({ ...smollm2, ...changed })
          .parameters.filter(({ name }) => name.endsWith('.bias'))
          .map(({ name }) => name.split('.').at(-2)!),
      ),
    ];
    expect(biased({})).toEqual([]);
    expect(biased({ model_type: 'qwen2' })).toEqual(['q_proj', 'k_proj', 'v_proj']);
    expect(biased({ attention_bias: true })).toEqual(['q_proj', 'k_proj', 'v_proj', 'o_proj']);
    expect(biased({ mlp_bias: true })).toEqual(['gate_proj', 'up_proj', 'down_proj']);
  });

  it('leaves out what the class has by default, within another configuration only', () => {
    // text_config of llava-1.5-7b-hf
    const vicuna = { model_type: 'llama', rms_norm_eps: 1e-5, vocab_size: 32_064 };
    expect(textConfiguration(vicuna, { within: 'text_config' })).toMatchObject({
      ...{ layers: 32, width: 4096, heads: 32, keyValueHeads: 32, headSize: 128, feedForward: 11_008, tied: false },
      ...{ vocabulary: 32_064, rmsNormEps: 1e-5, rope: { theta: 10_000 } },
    });
    const mistral = textConfiguration({ model_type: 'mistral' }, { within: 'text_config' });
    expect(mistral).toMatchObject({ keyValueHeads: 8, feedForward: 14_336, window: 4096 });
    expect(textConfiguration({ model_type: 'mistral', sliding_window: null }, { within: 'x' }).window).toBeUndefined();
    expect(() => readBlueprint(vicuna)).toThrow(/config.json: hidden_size/);
  });

  it.each([
    [{ model_type: 'gpt2' }, /model_type is gpt2; this trainer knows llama, qwen2/],
    [{ model_type: 'toString' }, /model_type is toString/],
    [{ model_type: undefined }, /no model_type/],
    [{ num_hidden_layers: 0 }, /num_hidden_layers/],
    [{ vocab_size: '49152' }, /vocab_size/],
    [{ hidden_act: 'gelu' }, /hidden_act.*silu/],
    [{ num_key_value_heads: 4 }, /num_key_value_heads is 4; it must divide the 9 attention heads/],
    [{ hidden_size: 577 }, /head_dim is 64.1/],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, /rope_scaling.rope_type is yarn; known are/],
    [{ rope_parameters: { rope_type: 'llama3', factor: 4 } }, /rope_parameters.low_freq_factor is missing/],
  ])('refuses %j by name', (changed, message) => {
    const read = () => readBlueprint({ ...smollm2, ...changed });
    expect(read).toThrow(ConfigurationError);
    expect(read).toThrow(message);
  });
});
