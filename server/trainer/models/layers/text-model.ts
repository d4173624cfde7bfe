import * as tf from '@tensorflow/tfjs-core';
import type { ModelInfo } from '@plumbline/shared/parameter';
import type { Parameters } from '../../runtime/parameter.js';
import type { Blueprint, BuildOptions } from '../blueprint.js';
import { collateAngles, collateTokens, textPositions } from '../collate.js';
import type { Example, GenerateOptions, HostInputs, Inputs, Model, ResidualListener, TextSizes } from '../model.js';
import { describeModel, parameterInfos } from '../parameter-roles.js';
import { Decoder, decoderParameters, headParameters, type DecoderConfiguration } from './decoder.js';
import { generate } from './generation.js';

const prefix = 'model.';

/** A family without a vision tower. */
export function textBlueprint(family: string, configuration: DecoderConfiguration): Blueprint {
  return {
    family,
    text: configuration,
    parameters: [...decoderParameters(configuration, prefix), ...headParameters(configuration)],
    build: (parameters, options) => new TextModel(family, configuration, parameters, options),
  };
}

class TextModel implements Model {
  readonly text: TextSizes;
  readonly #decoder: Decoder;

  constructor(
    readonly family: string,
    configuration: DecoderConfiguration,
    readonly parameters: Parameters,
    options: BuildOptions = {},
  ) {
    this.text = configuration;
    this.#decoder = new Decoder(configuration, parameters, { prefix, ...options });
  }

  describe(): ModelInfo {
    return describeModel(this.family, parameterInfos(this.parameters));
  }

  collate(examples: readonly Example[], { length }: { length?: number } = {}): HostInputs {
    const tokens = collateTokens(examples, { vocabulary: this.text.vocabulary, length });
    const [batch, padded] = tokens.ids.shape as [number, number];
    return { ...tokens, ...collateAngles(batch, [textPositions(batch, padded)], this.#decoder.frequencies) };
  }

  hidden(inputs: Inputs, listener?: ResidualListener): tf.Tensor2D {
    const { cos, sin, read } = inputs;
    return this.#decoder.decode(this.#embed(inputs), {
      ...{ cos: cos as tf.Tensor3D, sin: sin as tf.Tensor3D, read: read as tf.Tensor1D, listener },
    });
  }

  #embed({ ids }: Inputs): tf.Tensor2D {
    return this.#decoder.embed(tf.reshape(ids!, [-1]));
  }

  logits(hidden: tf.Tensor2D): tf.Tensor2D {
    return this.#decoder.logits(hidden);
  }

  generate(prompts: readonly Example[], options: GenerateOptions): Promise<number[][]> {
    return generate(this.#decoder, prompts, options, (batch) => ({
      inputs: this.collate(batch),
      embed: (inputs) => this.#embed(inputs),
      lengths: batch.map(({ ids }) => ids.length),
    }));
  }

  dispose(): void {
    this.parameters.dispose();
  }
}
