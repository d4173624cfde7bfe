import { selectBackend } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { buildModel } from '@plumbline/server/dist/trainer/models/build-model.js';
import { noLabel } from '@plumbline/server/dist/trainer/models/model.js';
import { readBlueprint } from '@plumbline/server/dist/trainer/models/registry.js';
import { valuesOf } from '@plumbline/server/dist/trainer/weights/shape.js';
import { resolveSelection } from '@plumbline/shared/selection';
import { Rng } from '@plumbline/shared/rng';
import { stepsOf } from './train-step.js';

/*
 * Trains a random model of a configuration on one picture: `CONFIG.json as text, HEIGHT WIDTH RECIPE`. It answers each
 * line on standard input with the milliseconds of a step, as wall time and as CPU time, and the process's peak memory.
 */
const [configText, heightText, widthText, recipe] = process.argv.slice(2) as [string, string, string, string];
process.env['TF_NUM_INTRAOP_THREADS'] ??= '2';
const { device } = await selectBackend({ prefer: 'tensorflow' });
const config = JSON.parse(configText) as { image_token_index: number };
const blueprint = readBlueprint(config);
const rng = new Rng(1);

/** Weights are stretches of so many drawn values: to draw each of 900 million would take minutes. */
const drawn = Float32Array.from({ length: 2 ** 20 + 7 }, () => (rng.uniform() - 0.5) * 0.07);
function weights(shape: readonly number[], name: string): Float32Array {
  const values = new Float32Array(valuesOf(shape));
  if (/norm.*weight$/.test(name)) return values.fill(1);
  for (let at = 0; at < values.length; at += drawn.length)
    values.set(drawn.subarray(0, Math.min(drawn.length, values.length - at)), at);
  return values;
}
const shapes = new Map(blueprint.parameters.map(({ name, shape }) => [name, shape]));
const model = await buildModel({ blueprint, read: (name) => Promise.resolve(weights(shapes.get(name)!, name)) });
const [height, width] = [Number(heightText), Number(widthText)];
const picture = { height, width, data: Uint8Array.from({ length: height * width * 3 }, () => rng.integer(256)) };
const [prepared] = blueprint.pictures!(undefined).prepare([picture]);
const text = (tokens: number): number[] => Array.from({ length: tokens }, () => rng.integer(1000));
const [before, answer] = [text(30), text(8)];
const ids = Int32Array.from([...before, ...new Array<number>(prepared!.tokens).fill(config.image_token_index), ...answer]); // prettier-ignore
const labels = ids.map((id, at) => (at < ids.length - answer.length ? noLabel : id));
const resolved = resolveSelection({ kind: 'recipe', recipe }, model.describe());
if (!resolved.ok) throw new Error(resolved.reason);
const { trainable } = resolved;
const step = stepsOf(model, 5e-6);

console.log(JSON.stringify({ device }));
for await (const _ of process.stdin) {
  const [start, startCpu] = [performance.now(), process.cpuUsage()];
  const value = await step([{ ids, labels, pictures: [prepared!] }], trainable);
  const { user, system } = process.cpuUsage(startCpu);
  const took = { stepMs: performance.now() - start, cpuMs: (user + system) / 1000 };
  const peakMb = process.resourceUsage().maxRSS / 1024;
  console.log(JSON.stringify({ ...took, peakMb, loss: value, tokens: ids.length }));
}
process.exit(0);
