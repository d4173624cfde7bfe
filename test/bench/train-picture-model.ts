import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { startContender } from './contender.js';

/*
 * A training step of a random model of LLaVA-OneVision 0.5B's configuration, with one picture, beside PyTorch. One side
 * after the other, each in a process of its own: both at once would not fit into 24 GiB.
 */
interface Took {
  stepMs: number;
  /** Of all cores. */
  cpuMs: number;
  peakMb: number;
  loss: number;
  tokens: number;
}

const configuration = {
  model_type: 'llava_onevision',
  image_token_index: 151_646,
  tie_word_embeddings: true,
  text_config: {
    ...{ model_type: 'qwen2', vocab_size: 152_000, hidden_size: 896, intermediate_size: 4864 },
    ...{ num_hidden_layers: 24, num_attention_heads: 14, num_key_value_heads: 2 },
    ...{ rope_parameters: { rope_type: 'default', rope_theta: 1e6 }, rms_norm_eps: 1e-6, tie_word_embeddings: true },
  },
};

const { values } = parseArgs({
  options: {
    picture: { type: 'string', default: '480x640' },
    recipe: { type: 'string', default: 'sa_proj' },
    steps: { type: 'string', default: '2' },
    only: { type: 'string' },
  },
});
const [height, width] = values.picture.split('x') as [string, string];
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const given = [JSON.stringify(configuration), height, width, values.recipe];
const python = process.env['PLUMBLINE_PYTHON'] ?? 'python3';
const sides = [
  { name: 'torch', command: python, args: [here('../../bench/train-picture-model-twin.py'), ...given] },
  { name: 'plumbline', command: process.execPath, args: [here('train-picture-model-worker.js'), ...given] },
];
for (const { name, command, args } of sides) {
  if (values.only !== undefined && values.only !== name) continue;
  const contender = await startContender<Took>(name, command, args);
  if (!contender) continue;
  console.log(`${name.padEnd(10)} ${contender.device}`);
  for (let step = 1; step <= Number(values.steps); step++) {
    const { stepMs, cpuMs, peakMb, loss, tokens } = await contender.ask('step');
    console.log(
      `${name.padEnd(10)} step ${step}: ${(stepMs / 1000).toFixed(1)} s (${(cpuMs / 1000).toFixed(1)} s of CPU), ${tokens} tokens, loss ${loss.toFixed(3)}, peak ${(peakMb / 1024).toFixed(1)} GiB`,
    );
  }
  contender.end();
}
