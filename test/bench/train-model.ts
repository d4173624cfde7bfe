import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { namedModel } from '@plumbline/shared/built-in/named-models';
import { fetchNamedModel } from '@plumbline/server/dist/trainer/weights/fetch-named-model.js';
import { median, startContender, type Contender } from './contender.js';

/** Milliseconds per step, as wall time and as CPU time of all cores, and the process's peak memory. */
interface Took {
  stepMs: number;
  cpuMs: number;
  peakMb: number;
  loss: number;
}

const recipes = ['full', 'sa_proj', 'mlp_gate_up'] as const;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * Trains a real model beside PyTorch, in turns. Prints the time of a step for each recipe, the ratio of the medians of
 * full tuning, 16 alternating lengths against one length of the same mean, and the peak memory of both processes after
 * full tuning.
 * @param options.length tokens of a text
 */
export async function trainModel(options: {
  model: string;
  python: string;
  rounds: number;
  batch: number;
  length: number;
}): Promise<void> {
  const { model, python, rounds, batch, length } = options;
  const named = namedModel(model);
  const folder = named ? (await fetchNamedModel(named, { progress: console.error })).folder : model;
  if (!existsSync(folder)) throw new Error(`There is no model ${model}: give a name or a folder.`);
  const contenders: Contender<Took>[] = [];
  for (const [name, command, args] of [
    ['torch', python, [here('../../bench/train-model-twin.py'), folder, String(batch)]],
    ['plumbline', process.execPath, [here('train-model-worker.js'), 'tensorflow', folder, String(batch)]],
  ] as const) {
    const contender = await startContender<Took>(name, command, [...args]);
    if (!contender) throw new Error(`${name} cannot run.`);
    contenders.push(contender);
  }
  for (const { name, device } of contenders) console.log(`${name.padEnd(12)} ${device}`);
  const turns = new Map<string, Took[]>();
  const around = Array.from({ length: 16 }, (_, i) => Math.round(length * (0.5 + i / 15)));
  const askAll = async (what: string, line: string): Promise<void> => {
    for (let round = 0; round < rounds; round++)
      for (const { name, ask } of contenders) {
        const took = await ask(line);
        // The first turn warms up.
        if (round > 0) turns.set(`${name} ${what}`, [...(turns.get(`${name} ${what}`) ?? []), took]);
      }
  };
  for (const recipe of recipes) await askAll(recipe, `${recipe} 2 ${length}`);
  await askAll('lengths', `full ${around.length} ${around.join(',')}`);
  for (const { end } of contenders) end();
  const took = (name: string, what: string, key: 'stepMs' | 'cpuMs'): number =>
    median(turns.get(`${name} ${what}`)!.map((turn) => turn[key]));
  const peak = (name: string): number => Math.max(...turns.get(`${name} full`)!.map(({ peakMb }) => peakMb));
  for (const key of ['stepMs', 'cpuMs'] as const) {
    console.log(`\n${key === 'stepMs' ? 'seconds' : 'seconds of CPU'} a step, ${batch} texts of ${length} tokens`);
    for (const { name } of contenders) {
      const row = [...recipes, 'lengths'].map((what) => `${what} ${(took(name, what, key) / 1000).toFixed(2)}`);
      console.log(`${name.padEnd(12)} ${row.join('   ')}   peak ${peak(name).toFixed(0)} MB`);
    }
  }
  const rounded = (value: number): number => Number(value.toFixed(2));
  const result = {
    ...{ benchmark: 'train', model, batch, length },
    ratio: rounded(took('plumbline', 'full', 'stepMs') / took('torch', 'full', 'stepMs')),
    cpuRatio: rounded(took('plumbline', 'full', 'cpuMs') / took('torch', 'full', 'cpuMs')),
    memoryRatio: rounded(peak('plumbline') / peak('torch')),
    lengthsRatio: rounded(took('plumbline', 'lengths', 'stepMs') / took('plumbline', 'full', 'stepMs')),
    recipeOfFull: Object.fromEntries(
      contenders.map(({ name }) => [
        name,
        Object.fromEntries(
          recipes
            .slice(1)
            .map((recipe) => [recipe, rounded(took(name, recipe, 'stepMs') / took(name, 'full', 'stepMs'))]),
        ),
      ]),
    ),
  };
  console.log(JSON.stringify(result));
}
