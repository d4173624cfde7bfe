import * as tf from '@tensorflow/tfjs-core';
import type { ModelInfo } from '@plumbline/shared/parameter';
import type { Parameters } from '../../runtime/parameter.js';
import type { BuildOptions } from '../blueprint.js';
import { collateAngles, collateTokens } from '../collate.js';
import type {
  Example,
  GenerateOptions,
  HostInputs,
  Inputs,
  Model,
  PreparedPicture,
  ResidualListener,
  TextSizes,
} from '../model.js';
import { describeModel, parameterInfos } from '../parameter-roles.js';
import { Decoder, type DecoderConfiguration } from './decoder.js';
import { gatherRows } from './gather-rows.js';
import { generate } from './generation.js';

/** How a family sees pictures: its vision tower, and what makes features of the language model's width of it. */
export interface PictureEncoder {
  /** Why a picture was not prepared for this model; undefined where it was. */
  faultOf(picture: PreparedPicture): string | undefined;
  /** Whether no training changes a parameter: nothing that is computed reads it. Default: none is such. */
  isFixed?(name: string): boolean;
  /** What `features` needs for all pictures of a batch, at least one. */
  collate(pictures: readonly PreparedPicture[]): CollatedPictures;
  /** Runs within tf.tidy. @returns [features, width of the language model] */
  features(inputs: Inputs): tf.Tensor2D;
}

export interface CollatedPictures {
  inputs: HostInputs;
  /** Of each picture, the row of the features for each of its tokens, in the order of the text. */
  rows: readonly Int32Array[];
}

/** Where the tokens of an example stand. */
export interface TokenPositions {
  /** One array [tokens] for each axis. */
  axes: readonly Int32Array[];
  /** The position of the token behind the last. */
  next: number;
}

export interface VisionLanguageConfiguration {
  text: DecoderConfiguration;
  /** The token whose embedding a visual token replaces. */
  pictureToken: number;
}

export interface VisionLanguageOptions extends BuildOptions {
  /** Before the names of the language model's parameters. */
  prefix: string;
  encoder: PictureEncoder;
  /**
   * Default: positions count up on one axis.
   * @throws Error that says what is wrong with the example, without naming it
   */
  positions?: (example: Example) => TokenPositions;
}

const countUp = ({ ids }: Example): TokenPositions => ({ axes: [ids.map((_, at) => at)], next: ids.length });

/** A language model in which features of pictures take the places of placeholders in the text. */
export class VisionLanguageModel implements Model {
  readonly text: TextSizes;
  readonly #decoder: Decoder;
  readonly #encoder: PictureEncoder;
  readonly #positions: (example: Example) => TokenPositions;

  constructor(
    readonly family: string,
    private readonly configuration: VisionLanguageConfiguration,
    readonly parameters: Parameters,
    { encoder, positions = countUp, ...options }: VisionLanguageOptions,
  ) {
    this.text = configuration.text;
    this.#decoder = new Decoder(configuration.text, parameters, options);
    this.#encoder = encoder;
    this.#positions = positions;
  }

  describe(): ModelInfo {
    const infos = parameterInfos(this.parameters);
    const isFixed = (name: string): boolean => this.#encoder.isFixed?.(name) ?? false;
    return describeModel(
      this.family,
      infos.map((info) => (isFixed(info.name) ? { ...info, fixed: true } : info)),
    );
  }

  collate(examples: readonly Example[], options: { length?: number } = {}): HostInputs {
    return this.#collate(examples, options).inputs;
  }

  /** @returns `next`: of each example, the position behind its last token */
  #collate(examples: readonly Example[], { length }: { length?: number }): { inputs: HostInputs; next: number[] } {
    const tokens = collateTokens(examples, { vocabulary: this.text.vocabulary, length });
    const padded = tokens.ids.shape[1]!;
    const positions = examples.map((example, row) =>
      named(row, () => {
        this.#check(example);
        return this.#positions(example);
      }),
    );
    const axes = positions[0]!.axes.map((_, axis) => {
      const all = new Int32Array(examples.length * padded);
      positions.forEach(({ axes }, row) => all.set(axes[axis]!, row * padded));
      return all;
    });
    const { frequencies, configuration } = this.#decoder;
    const angles = collateAngles(examples.length, axes, frequencies, configuration.rope.sections);
    return {
      inputs: { ...tokens, ...angles, ...this.#collatePictures(examples, padded) },
      next: positions.map(({ next }) => next),
    };
  }

  /** The encoder's inputs and `place`; nothing where there are no pictures. */
  #collatePictures(examples: readonly Example[], length: number): HostInputs {
    const pictures = examples.flatMap(({ pictures }) => pictures);
    if (pictures.length === 0) return {};
    const { inputs, rows } = this.#encoder.collate(pictures);
    const positions = examples.length * length;
    const place = Int32Array.from({ length: positions }, (_, at) => at);
    let first = 0;
    examples.forEach(({ ids, pictures }, row) => {
      const features = rows.slice(first, first + pictures.length).flatMap((rows) => [...rows]);
      first += pictures.length;
      const places = [...ids.keys()].filter((at) => ids[at] === this.configuration.pictureToken);
      places.forEach((at, index) => (place[row * length + at] = positions + features[index]!));
    });
    return { ...inputs, place: { shape: [positions], data: place } };
  }

  /** @throws Error when the pictures' visual tokens do not fill the placeholders */
  #check({ ids, pictures }: Example): void {
    const { pictureToken } = this.configuration;
    pictures.forEach((picture, index) => {
      const fault = this.#encoder.faultOf(picture);
      if (fault) throw new Error(`has a picture, number ${index + 1}, that was prepared for another model: ${fault}`);
    });
    const placeholders = ids.reduce((count, id) => count + (id === pictureToken ? 1 : 0), 0);
    const tokens = pictures.reduce((sum, { tokens }) => sum + tokens, 0);
    if (pictures.length > placeholders)
      throw new Error(
        `has ${pictures.length} pictures and ${placeholders} placeholders (token ${pictureToken}) for them`,
      );
    if (placeholders !== tokens)
      throw new Error(
        `has ${placeholders} placeholders (token ${pictureToken}) for ${tokens} visual tokens of ${pictures.length} pictures. ` +
          'Write one placeholder for each visual token, and none where there is no picture',
      );
  }

  hidden(inputs: Inputs, listener?: ResidualListener): tf.Tensor2D {
    const { cos, sin, read } = inputs;
    return this.#decoder.decode(this.#embed(inputs), {
      ...{ cos: cos as tf.Tensor3D, sin: sin as tf.Tensor3D, read: read as tf.Tensor1D, listener },
    });
  }

  features(inputs: Inputs): tf.Tensor2D {
    return this.#encoder.features(inputs);
  }

  logits(hidden: tf.Tensor2D): tf.Tensor2D {
    return this.#decoder.logits(hidden);
  }

  /** The embeddings of text and pictures, [B * T, width]. */
  #embed(inputs: Inputs): tf.Tensor2D {
    const { ids, place } = inputs;
    const embedded = this.#decoder.embed(tf.reshape(ids!, [-1]));
    if (!place) return embedded;
    const features = (inputs['features'] as tf.Tensor2D | undefined) ?? this.features(inputs);
    return gatherRows(tf.concat([embedded, features], 0), place as tf.Tensor1D);
  }

  generate(prompts: readonly Example[], options: GenerateOptions): Promise<number[][]> {
    return generate(this.#decoder, prompts, options, (batch) => ({
      ...this.#collate(batch, {}),
      embed: (inputs) => this.#embed(inputs),
      lengths: batch.map(({ ids }) => ids.length),
    }));
  }

  dispose(): void {
    this.parameters.dispose();
  }
}

/** Puts the example's place before the error of f. */
function named<R>(row: number, f: () => R): R {
  try {
    return f();
  } catch (error) {
    throw new Error(`Example ${row + 1} of the batch ${(error as Error).message}.`, { cause: error });
  }
}
