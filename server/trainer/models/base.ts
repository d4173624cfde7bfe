import { join } from 'node:path';
import type { HostTensor } from '../safetensors.js';
import { readJson } from '../text/tokenizer.js';
import { ModelWeights } from '../weights/model-weights.js';
import type { Family as FamilyName } from '../weights/name-map.js';
import type { Blueprint, ParameterShape } from './blueprint.js';
import { readBlueprint } from './registry.js';

/** A pretrained model that runs start from. */
export interface Base {
  readonly blueprint: Blueprint;
  /** Reads the values of one of its parameters, row by row. */
  read(name: string): Promise<Float32Array>;
}

/** A base of weights on the host. @throws Error naming a parameter that is missing, unknown or of another shape */
export function baseOf(blueprint: Blueprint, weights: ReadonlyMap<string, HostTensor>): Base {
  requireWeights(blueprint.parameters, weights);
  return { blueprint, read: (name) => Promise.resolve(weights.get(name)!.data) };
}

/** @throws Error naming a parameter that is missing, unknown or of another shape */
export function requireWeights(
  wanted: Iterable<Pick<ParameterShape, 'name' | 'shape'>>,
  weights: ReadonlyMap<string, HostTensor>,
): void {
  const left = new Set(weights.keys());
  for (const { name, shape } of wanted) {
    const tensor = weights.get(name);
    if (!tensor) throw new Error(`The weights lack ${name}.`);
    if (tensor.shape.join() !== shape.join())
      throw new Error(`${name} has shape [${tensor.shape.join()}]; this configuration needs [${shape.join()}].`);
    left.delete(name);
  }
  const [foreign] = left;
  if (foreign) throw new Error(`The weights hold ${foreign}, which a model of this configuration does not have.`);
}

/**
 * Opens a folder in the Hugging Face layout. The caller closes it.
 * @throws ConfigurationError when config.json does not describe a model of a known family
 * @throws DamagedFileError when the weights do not fit it
 */
export async function openBase(folder: string): Promise<Base & { close(): Promise<void> }> {
  const blueprint = readBlueprint(await readJson(join(folder, 'config.json')));
  const wanted = new Map(blueprint.parameters.map(({ name, shape }) => [name, shape]));
  // The families of the registry are those whose names are known.
  const weights = await ModelWeights.open(folder, blueprint.family as FamilyName, wanted, {
    tiedHead: !wanted.has('lm_head.weight'),
  });
  return { blueprint, read: (name) => weights.read(name), close: () => weights.close() };
}
