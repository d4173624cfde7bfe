import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, startContender, type Contender } from './contender.js';
import { trainModel } from './train-model.js';

/*
 * The time of a training step on each backend and in a PyTorch twin of the same sizes, in one run: the processes run
 * side by side and alternate every few steps, so that a slower machine affects all of them. Medians over the turns.
 * PyTorch comes from the Python in PLUMBLINE_PYTHON (default python3). With --model, a named model or a folder in the
 * Hugging Face layout, both sides train that one.
 */

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    steps: { type: 'string', default: '10' },
    batch: { type: 'string' },
    model: { type: 'string' },
    length: { type: 'string', default: '64' },
    backends: { type: 'string', default: 'tensorflow-gpu,webgpu,tensorflow,wasm' },
  },
});
if (!(Number(flags.rounds) >= 2)) throw new Error('--rounds is at least 2: the first one warms up.');
const python = process.env['PLUMBLINE_PYTHON'] ?? 'python3';
if (flags.model) {
  const { model, rounds, batch = '8', length } = flags;
  await trainModel({ model, python, rounds: Number(rounds), batch: Number(batch), length: Number(length) });
  process.exit(0);
}
const batch = flags.batch ?? '32';
const recipes = ['full', 'sa_proj', 'mlp_gate_up'] as const;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Milliseconds per step, as wall time and as CPU time of all cores. */
interface Took {
  stepMs: number;
  cpuMs: number;
}

const contenders: Contender<Took>[] = [];
const torch = await startContender<Took>('torch', python, [here('../../bench/train-twin.py'), batch]);
if (torch) contenders.push(torch);
for (const backend of flags.backends.split(',')) {
  const worker = await startContender<Took>(backend, process.execPath, [here('train-worker.js'), backend, batch]);
  if (worker) contenders.push(worker);
}
for (const { name, device } of contenders) console.log(`${name.padEnd(16)} ${device}`);

const turns = new Map<string, Took[]>();
for (const recipe of recipes)
  for (let round = 0; round < Number(flags.rounds); round++)
    for (const { name, ask } of contenders) {
      const took = await ask(`${recipe} ${flags.steps}`);
      // The first turn warms up.
      if (round > 0) turns.set(`${name} ${recipe}`, [...(turns.get(`${name} ${recipe}`) ?? []), took]);
    }
const timesOf = (name: string, recipe: string, what: keyof Took = 'stepMs'): number[] =>
  turns.get(`${name} ${recipe}`)!.map((took) => took[what]);
for (const { end } of contenders) end();

const result: Record<string, unknown> = { benchmark: 'train', batch: Number(batch) };
console.log(`\nmilliseconds a step${' '.repeat(8)}${recipes.map((recipe) => recipe.padStart(14)).join('')}`);
for (const { name } of contenders) {
  const row = recipes.map((recipe) => median(timesOf(name, recipe)));
  const cpu = recipes.map((recipe) => median(timesOf(name, recipe, 'cpuMs')));
  console.log(name.padEnd(27) + row.map((ms) => ms.toFixed(1).padStart(14)).join(''));
  const key = name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  result[`${key}Ms`] = Number(row[0]!.toFixed(1));
  // The time of smaller recipes as a share of the whole language model's.
  const ofFull = (values: readonly number[]): Record<string, number> =>
    Object.fromEntries(recipes.slice(1).map((recipe, i) => [recipe, Number((values[i + 1]! / values[0]!).toFixed(2))]));
  result[`${key}RecipeOfFull`] = ofFull(row);
  result[`${key}RecipeOfFullCpu`] = ofFull(cpu);
  // Compared with PyTorch turn by turn, so that both sides of a ratio saw the same machine.
  if (torch && name !== 'torch')
    result[`${key}Ratio`] = Number(
      median(timesOf(name, 'full').map((ms, i) => ms / timesOf('torch', 'full')[i]!)).toFixed(2),
    );
}
if ('tensorflowRatio' in result) result['ratio'] = result['tensorflowRatio'];
console.log(JSON.stringify(result));
process.exit(0);
