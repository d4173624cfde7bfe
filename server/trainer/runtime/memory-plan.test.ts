import { expect, it } from 'vitest';
import { readBlueprint } from '../models/registry.js';
import { planMemory } from './memory-plan.js';

/** Two layers of width 4 with 2 heads of 2 and 1 key/value head, MLP 6, vocabulary 10; the head is tied. */
const blueprint = readBlueprint({
  model_type: 'llama',
  ...{ hidden_size: 4, intermediate_size: 6, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 },
  ...{ vocab_size: 10, rms_norm_eps: 1e-5, tie_word_embeddings: true, max_position_embeddings: 32 },
});
const all = blueprint.parameters.map(({ name }) => name);
const plan = (pattern: RegExp, recompute = false) =>
  planMemory(blueprint, new Set(all.filter((name) => pattern.test(name))), {
    ...{ batch: 2, length: 3, answers: 1, recompute },
  });
/** q and o 16 each, k and v 8 each, three of 24 in the MLP, two norms of 4. */
const layer = 16 + 16 + 8 + 8 + 3 * 24 + 2 * 4;
const weights = 10 * 4 + 2 * layer + 4;
const logits = 3 * 2 * 10;
const tokens = 2 * 3;
/** Units of two norms, queries and outputs, keys and values, three of the MLP; and 2 heads x 3 scores a token. */
const always = 2 * 4 + 2 * 4 + 2 * 2 + 3 * 6;
const scores = tokens * 2 * 3;

it('counts full tuning: gradients as large as the weights, moments twice, inputs of all projections', () => {
  const kept = 2 * (tokens * (always + 4 + 4 + 4 + 6) + scores);
  expect(plan(/./)).toEqual({
    weights: 4 * weights,
    gradients: 4 * weights,
    moments: 8 * weights,
    activations: 4 * (kept + logits),
    total: 4 * (4 * weights + kept + logits),
  });
});

it('counts only what a selection trains, and no input of a frozen projection', () => {
  const { gradients, moments, activations } = plan(/self_attn\.[qkvo]_proj/);
  expect([gradients, moments]).toEqual([4 * 2 * 48, 8 * 2 * 48]);
  expect(activations).toBe(4 * (2 * (tokens * (always + 4 + 4) + scores) + logits));
});

it('keeps nothing below the lowest trained layer, and for a frozen model only its logits', () => {
  const upper = tokens * (always + 6) + scores;
  expect(plan(/layers\.1\.mlp\.down_proj/).activations).toBe(4 * (upper + logits));
  expect(plan(/nothing/)).toMatchObject({ gradients: 0, moments: 0, activations: 4 * 2 * 10 });
});

it('keeps the inputs of the layers and one layer at a time when they are computed again', () => {
  const one = tokens * (always + 4 + 4 + 4 + 6) + scores;
  expect(plan(/./, true).activations).toBe(4 * (2 * tokens * 4 + one + logits));
});
