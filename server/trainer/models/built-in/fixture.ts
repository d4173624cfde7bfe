import { readFileSync } from 'node:fs';
import { assetPath } from '../../asset.js';
import { readSafetensors, type HostTensor } from '../../safetensors.js';
import { noLabel, type Example } from '../model.js';
import { BuiltInConfig, visualTokens } from './configuration.js';
import { patchesOf } from './processing.js';

/*
 * Values of PyTorch for a tiny model with random weights: fixtures/make-fixture.py wrote weights, inputs, logits, loss
 * and gradients of its own model.
 */

interface Facts {
  settings: {
    learningRate: number;
    weightDecay: number;
    beta1: number;
    beta2: number;
    epsilon: number;
    maxGradientNorm: number;
  };
  loss: number;
  losses: number[];
  norms: number[];
  trained: string[][];
  contribution: { numbers: number[]; change: number[]; push: number[] };
}

export const readFacts = (name: string): unknown =>
  JSON.parse(readFileSync(assetPath(`models/built-in/fixtures/${name}.json`), 'utf8'));
export const readTensors = (name: string): Map<string, HostTensor> =>
  readSafetensors(readFileSync(assetPath(`models/built-in/fixtures/${name}.safetensors`))).tensors;

/** The tensors below a prefix, without it. */
export const part = (tensors: ReadonlyMap<string, HostTensor>, prefix: string): Map<string, HostTensor> =>
  new Map(
    [...tensors].flatMap(([name, tensor]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [])),
  );

export interface Fixture {
  config: BuiltInConfig;
  facts: Facts;
  tensors: Map<string, HostTensor>;
  /** With loss on their answers. */
  examples: Example[];
  /** The same with a label at every text position, so that all logits are read. */
  everywhere: Example[];
}

export function readFixture(): Fixture {
  const facts = readFacts('fixture') as Facts & { config: unknown };
  const config = BuiltInConfig.parse(facts.config);
  const tensors = readTensors('fixture');
  const { data: ids, shape } = tensors.get('ids')!;
  const [rows, length] = shape as [number, number];
  const [targets, mask, images] = ['targets', 'mask', 'images'].map((name) => tensors.get(name)!.data);
  const pixels = images!.length / rows;
  const padding = new Array<number>(visualTokens(config)).fill(0);
  const examples = (isLabel: (at: number) => boolean): Example[] =>
    Array.from({ length: rows }, (_, row) => {
      const [from, to] = [row * length, (row + 1) * length];
      const labels = [...targets!.subarray(from, to)].map((id, i) => (isLabel(from + i) ? id : noLabel));
      return {
        ids: Int32Array.from([...padding, ...ids.subarray(from, to), targets![to - 1]!]),
        labels: Int32Array.from([...padding.map(() => noLabel), noLabel, ...labels]),
        pictures: [patchesOf(images!.subarray(row * pixels, (row + 1) * pixels), config.imageSize, config.patchSize)],
      };
    });
  return {
    ...{ config, facts, tensors },
    examples: examples((at) => mask![at] === 1),
    everywhere: examples(() => true),
  };
}
