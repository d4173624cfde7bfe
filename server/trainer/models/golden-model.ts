import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { assetPath } from '../asset.js';
import type { RgbPicture } from '../data/rgb-picture.js';
import { lossAndGradients as differentiate } from '../methods/fine-tuning.js';
import { Parameters } from '../runtime/parameter.js';
import { Programs } from '../runtime/program.js';
import { makeParameter } from '../runtime/variable.js';
import { readSafetensors } from '../safetensors.js';
import type { BuildOptions } from './blueprint.js';
import { part } from './built-in/fixture.js';
import { noLabel, type Example, type Model, type PreparedPicture } from './model.js';
import { readBlueprint } from './registry.js';
import { uploadInputs } from './upload.js';

/*
 * For tests: tiny random models with what transformers computes with them. The scripts beside the fixtures write
 * `weight/<name>` and `gradient/<name>`, tensors of their own, and a JSON file with config.json and further facts.
 */

/** @param file of models/fixtures, without its ending */
export function loadGolden<Facts extends { config: unknown }>(file: string) {
  const facts = JSON.parse(readFileSync(assetPath(`models/fixtures/${file}.json`), 'utf8')) as Facts;
  const { tensors } = readSafetensors(readFileSync(assetPath(`models/fixtures/${file}.safetensors`)));
  const blueprint = readBlueprint(facts.config);
  const build = (options?: BuildOptions) => {
    const all = blueprint.parameters.map(({ name }) => {
      const { data, shape } = tensors.get(`weight/${name}`)!;
      return makeParameter(name, () => tf.tensor(data, shape));
    });
    return blueprint.build(new Parameters(all), options);
  };
  /** Tensors below a prefix, by their names behind it. */
  const named = (prefix: string) => part(tensors, prefix);
  return { facts, tensors, blueprint, build, named };
}

/** What make-text-models.py writes of each model. */
export interface TextFacts {
  config: Record<string, unknown>;
  settings: {
    learningRate: number;
    weightDecay: number;
    beta1: number;
    beta2: number;
    epsilon: number;
    maxGradientNorm: number;
  };
  texts: number[][];
  /** The last tokens of each text are its answer. */
  answers: number[];
  loss: number;
  /** The gradient's, before clipping. */
  norm: number;
  prompts: number[][];
  written: number[][];
}

export const textGoldens = ['llama-untied', 'llama-tied', 'qwen2'] as const;

/** A model without pictures, with its texts and prompts as examples. */
export function loadTextGolden(file: (typeof textGoldens)[number]) {
  const golden = loadGolden<TextFacts>(file);
  const { texts, answers, prompts } = golden.facts;
  const example = (ids: number[], asked = ids.length): Example => ({
    ids: Int32Array.from(ids),
    labels: Int32Array.from(ids, (id, at) => (at < asked ? noLabel : id)),
    pictures: [],
  });
  return {
    ...golden,
    examples: texts.map((text, i) => example(text, text.length - answers[i]!)),
    prompts: prompts.map((ids) => example(ids)),
  };
}

/** What make-llava.py and make-qwen-smolvlm.py write of each family; `Seen` is what the tower sees of pictures. */
interface PictureFacts<Seen> {
  config: Record<string, unknown>;
  preprocessor: Record<string, unknown>;
  pictures: { height: number; width: number; rgb: string }[];
  seen: Seen[];
  cases: [alone: PictureCase, several: PictureCase];
  /** The case whose gradients are known. */
  differentiated: PictureCase['name'];
}
export interface PictureCase {
  name: 'alone' | 'several';
  /** The pictures of each example. */
  conversations: number[][];
  /** Numbers of tokens at the end of each example. */
  answers: number[];
  ids: number[][];
  loss: number;
  /** Null where transformers does not write without a picture. */
  written?: (number[] | null)[];
}

export const llavaGoldens = ['llava', 'llava_next', 'llava_onevision'] as const;
export const qwenSmolvlmGoldens = ['qwen2_5_vl', 'smolvlm', 'idefics3'] as const;
export const pictureGoldens = [...llavaGoldens, ...qwenSmolvlmGoldens];

/** Bytes in base64, as the fixtures hold them. */
export const base64Bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

/** A model with pictures, with its texts and prompts as examples. */
export function loadPictureGolden<Seen = unknown>(file: (typeof pictureGoldens)[number]) {
  const golden = loadGolden<PictureFacts<Seen>>(file);
  const { facts, blueprint } = golden;
  const { image_token_id: id, image_token_index: index } = facts.config;
  const pictures = facts.pictures.map(({ rgb, ...size }): RgbPicture => ({ ...size, data: base64Bytes(rgb) }));
  const processor = blueprint.pictures!(facts.preprocessor);
  const prepare = (conversation: readonly number[]): PreparedPicture[] =>
    processor.prepare(conversation.map((i) => pictures[i]!));
  const [alone, several] = facts.cases;
  const examplesOf = ({ conversations, ids, answers }: PictureCase, taught: readonly number[] = answers): Example[] =>
    ids.map((row, i) => ({
      ids: Int32Array.from(row),
      labels: Int32Array.from(row, (id, at) => (at < row.length - taught[i]! ? noLabel : id)),
      pictures: prepare(conversations[i]!),
    }));
  /** Prompts, and what the model writes after them. */
  const promptsOf = (pictureCase: PictureCase): { prompts: Example[]; written: number[][] } => {
    const rows = examplesOf(pictureCase).flatMap(({ ids, labels, pictures }, i) => {
      const written = pictureCase.written![i];
      const end = ids.length - pictureCase.answers[i]!;
      const prompt: Example = { ids: ids.slice(0, end), labels: labels.slice(0, end), pictures };
      return written ? [{ prompt, written }] : [];
    });
    return { prompts: rows.map(({ prompt }) => prompt), written: rows.map(({ written }) => written) };
  };
  const differentiated = facts.differentiated === 'alone' ? alone : several;
  return {
    ...golden,
    ...{ pictures, processor, prepare, alone, several, differentiated, examplesOf, promptsOf },
    pictureToken: (id ?? index) as number,
    examples: examplesOf(differentiated),
    ...promptsOf(differentiated),
  };
}

/**
 * The largest distance of two lists of numbers, relative to the largest wanted one where that exceeds `least`; NaN if one
 * of them is not a number.
 * @throws Error when they are not as many
 */
export function distance(got: ArrayLike<number>, wanted: ArrayLike<number>, least = 0): number {
  if (got.length !== wanted.length) throw new Error(`There are ${got.length} values instead of ${wanted.length}.`);
  let [most, size] = [0, least];
  for (let i = 0; i < got.length; i++) {
    const apart = Math.abs(got[i]! - wanted[i]!);
    if (!(apart <= most)) most = apart;
    size = Math.max(size, Math.abs(wanted[i]!));
  }
  return least > 0 ? most / size : most;
}

/** The loss over the answers of a batch, and its gradients, of a compiled function where the backend compiles. */
export function lossAndGradients(model: Model, examples: readonly Example[], names: readonly string[]) {
  const inputs = uploadInputs(model.collate(examples));
  const programs = new Programs();
  const { loss, ...gradients } = programs.run(
    `loss and gradients of ${names.join(', ')}`,
    Object.values(inputs),
    [...model.parameters],
    () => {
      const { loss, gradients } = differentiate(model, inputs, names);
      return { loss, ...Object.fromEntries(gradients) };
    },
  );
  tf.dispose(Object.values(inputs));
  programs.dispose();
  return { loss: loss!, gradients };
}
