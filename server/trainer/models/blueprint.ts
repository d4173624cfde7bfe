import type { Parameters } from '../runtime/parameter.js';
import type { Model, TextSizes } from './model.js';
import type { PictureProcessor } from './picture-processor.js';

/** A parameter as it is on disk and in the module tree of transformers 5. */
export interface ParameterShape {
  name: string;
  shape: readonly number[];
}

export interface BuildOptions {
  /** Computes each layer again in the backward pass and keeps only its input: less memory, a third more work. */
  recompute?: boolean;
}

/** A model as its config.json describes it, before any weight is read. */
export interface Blueprint {
  /** The `model_type` of config.json. */
  readonly family: string;
  readonly text: TextSizes;
  /** Names of the module tree of transformers 5, in its order. */
  readonly parameters: readonly ParameterShape[];
  /**
   * For families that see pictures.
   * @param preprocessor the parsed preprocessor_config.json; undefined where there is none
   * @throws ConfigurationError naming the field
   */
  pictures?(preprocessor: unknown): PictureProcessor;
  /** @param parameters all of the blueprint's, with their shapes; more where there are adapters */
  build(parameters: Parameters, options?: BuildOptions): Model;
}

/**
 * A family of models.
 * @param config the parsed config.json
 * @throws ConfigurationError naming the field
 */
export type Family = (config: unknown) => Blueprint;

/** A config.json that no family can be built from; the message names the field and says what it should be. */
export class ConfigurationError extends Error {
  override name = 'ConfigurationError';
}
