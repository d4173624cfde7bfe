import { totalmem } from 'node:os';
import { join } from 'node:path';
import { namedModel } from '@plumbline/shared/built-in/named-models';
import { resolveSelection } from '@plumbline/shared/selection';
import { ConfigurationError } from './models/blueprint.js';
import { describeModel } from './models/parameter-roles.js';
import { readBlueprint } from './models/registry.js';
import { planMemory, programBytes } from './runtime/memory-plan.js';
import { readJson } from './text/tokenizer.js';
import { cachedModel } from './weights/fetch-named-model.js';
import { valuesOf } from './weights/shape.js';

/**
 * Prints what a model is and what training it takes: `inspect-model NAME_OR_FOLDER BATCH LENGTH ANSWERS`. Reads its
 * config.json only. On failure prints the reason and exits with 1.
 */
const [given = '', ...sizes] = process.argv.slice(2);
const [batch, length, answers] = sizes.map(Number) as [number, number, number];

const named = namedModel(given);
const folder = named ? await cachedModel(named) : given;
try {
  if (folder === undefined)
    throw new ConfigurationError(`${given} is not on this machine yet. Run: npm run plumbline -- model fetch ${given}`);
  const file = join(folder, 'config.json');
  const config = await readJson(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === undefined) throw error;
    throw new ConfigurationError(
      `${file} cannot be read (${error.message}). Give the name of a model or a folder in the Hugging Face layout.`,
    );
  });
  const blueprint = readBlueprint(config);
  const { text } = blueprint;
  const infos = blueprint.parameters.map(({ name, shape }) => ({
    ...{ name, shape: [...shape], size: valuesOf(shape) },
  }));
  const model = describeModel(blueprint.family, infos);
  const partOf = new Map(model.groups.map(({ name, part }) => [name, part]));
  const parts = new Map<string, number>();
  for (const { group, size } of model.parameters)
    parts.set(partOf.get(group)!, (parts.get(partOf.get(group)!) ?? 0) + size);
  const total = infos.reduce((sum, { size }) => sum + size, 0);

  console.log(`${named ? `${named.title}, ` : ''}family ${blueprint.family}, ${count(total)} parameters`);
  console.log(
    `${text.layers} layers of width ${text.width}, MLP ${text.feedForward}, ${text.heads} heads of ${text.headSize} with ` +
      `${text.keyValueHeads} key/value heads, vocabulary ${text.vocabulary}`,
  );
  console.log(`Parts: ${[...parts].map(([part, size]) => `${part} ${count(size)}`).join(', ')}`);
  const memory = process.constrainedMemory();
  const available = memory > 0 && memory < totalmem() ? memory : totalmem();
  console.log(
    `\nTraining ${batch} texts of ${length} tokens, ${answers} of each predicted, with AdamW in F32; this machine has ${bytes(available)}:`,
  );
  const rows = [['recipe', 'trains', 'weights', 'gradients', 'moments', 'activations', 'in all', 'recomputed', '']];
  for (const { name } of model.recipes) {
    const selected = resolveSelection({ kind: 'recipe', recipe: name }, model);
    if (!selected.ok || selected.trainable.length === 0) continue;
    const trained = new Set(selected.trainable);
    const [plan, less] = [false, true].map((recompute) =>
      planMemory(blueprint, trained, { batch, length, answers, recompute }),
    ) as [ReturnType<typeof planMemory>, ReturnType<typeof planMemory>];
    const needed = [plan, less].map(({ total }) => total + programBytes) as [number, number];
    const verdict = needed[0] <= available ? 'fits' : needed[1] <= available ? 'fits if recomputed' : 'does not fit';
    rows.push([
      ...[name, count(selected.trainableSize)],
      ...[plan.weights, plan.gradients, plan.moments, plan.activations, ...needed].map(bytes),
      verdict,
    ]);
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows)
    console.log(
      row
        .map((cell, i) => (i === 0 || i === 8 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    );
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

function count(values: number): string {
  if (values >= 1e9) return `${(values / 1e9).toFixed(2)} B`;
  return values >= 1e6 ? `${(values / 1e6).toFixed(1)} M` : `${(values / 1e3).toFixed(1)} k`;
}

function bytes(size: number): string {
  return size >= 1e9 ? `${(size / 1e9).toFixed(2)} GB` : `${Math.round(size / 1e6)} MB`;
}
