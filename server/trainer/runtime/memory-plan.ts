import type { ParameterRole } from '@plumbline/shared/parameter';
import type { Blueprint } from '../models/blueprint.js';
import { roleOf } from '../models/parameter-roles.js';
import { valuesOf } from '../weights/shape.js';

/** What a training step works on. */
export interface StepSize {
  /** Texts in a batch. */
  batch: number;
  /** Tokens of a text, visual ones included. */
  length: number;
  /** Positions of a text whose token is predicted. */
  answers: number;
  /** Layers are computed again in the backward pass. */
  recompute: boolean;
}

/** Bytes that training takes on the device. */
export interface MemoryPlan {
  weights: number;
  gradients: number;
  /** AdamW's two moments. */
  moments: number;
  /** What the forward pass of the decoder keeps for the backward pass, and the logits. */
  activations: number;
  total: number;
}

const bytesPerValue = 4;
/** Scores that attention keeps; with more it computes them again (layers/attention.ts). */
const keptScores = 2 ** 22;

/**
 * Estimates the memory of full-precision training with AdamW. A vision tower's activations are not counted: its pictures
 * pass it tile by tile, and it keeps nothing where it is frozen.
 * @param trained names of the trained parameters
 */
export function planMemory(blueprint: Blueprint, trained: ReadonlySet<string>, step: StepSize): MemoryPlan {
  const size = (names: (name: string) => boolean): number =>
    blueprint.parameters.reduce((sum, { name, shape }) => (names(name) ? sum + valuesOf(shape) : sum), 0);
  const values = size((name) => trained.has(name));
  const plan = {
    weights: size(() => true) * bytesPerValue,
    gradients: values * bytesPerValue,
    moments: 2 * values * bytesPerValue,
    activations: activationValues(blueprint, trained, step) * bytesPerValue,
  };
  return { ...plan, total: Object.values(plan).reduce((sum, bytes) => sum + bytes, 0) };
}

/** A layer's trained projections decide which inputs it keeps; gradients of inputs are needed from the lowest one up. */
function activationValues({ text, parameters }: Blueprint, trained: ReadonlySet<string>, step: StepSize): number {
  const { layers, width, heads, keyValueHeads, headSize, feedForward, vocabulary } = text;
  const { batch, length, answers, recompute } = step;
  const roles = parameters.filter(({ name }) => trained.has(name)).map(({ name }) => roleOf(name).role);
  if (roles.length === 0) return batch * answers * vocabulary;
  const layersOf = (projection: RegExp): Set<number> =>
    new Set(
      roles.flatMap(({ part, layer, projection: name }) =>
        part === 'language' && typeof layer === 'number' && projection.test(name ?? '') ? [layer] : [],
      ),
    );
  const lowest = lowestLayer(roles, layers);
  const tokens = batch * length;
  const [queries, keys] = [heads * headSize, keyValueHeads * headSize];
  const scores = tokens * heads * length;
  const inputs = [
    { kept: width, of: layersOf(/^[qkv]_proj$/) },
    { kept: queries, of: layersOf(/^o_proj$/) },
    { kept: width, of: layersOf(/^(gate|up)_proj$/) },
    { kept: feedForward, of: layersOf(/^down_proj$/) },
  ];
  const layer = (index: number): number => {
    const always = 2 * width + 2 * queries + 2 * keys + 3 * feedForward;
    const forWeights = inputs.reduce((sum, { kept, of }) => sum + (of.has(index) ? kept : 0), 0);
    return tokens * (always + forWeights) + (scores <= keptScores ? scores : tokens * heads);
  };
  const sizes = Array.from({ length: layers - lowest }, (_, i) => layer(lowest + i));
  const kept = recompute
    ? tokens * width * sizes.length + Math.max(0, ...sizes)
    : sizes.reduce((sum, values) => sum + values, 0);
  // Logits, their exponentials and their gradient.
  return kept + 3 * batch * answers * vocabulary;
}

/** The lowest decoder layer that the backward pass reaches; the number of layers where it ends at the head. */
function lowestLayer(roles: readonly ParameterRole[], layers: number): number {
  let lowest = layers;
  for (const { part, layer } of roles) {
    // Embeddings, projector and tower lie below the first layer.
    if (part === 'embedding' || part === 'projector' || part === 'vision') return 0;
    if (part === 'language' && typeof layer === 'number') lowest = Math.min(lowest, layer);
  }
  return lowest;
}

/** Bytes that the program takes beside the plan: Node, TensorFlow and its thread pools. */
export const programBytes = 400e6;
