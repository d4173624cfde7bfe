import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { compiled } from '../methods/compiled.js';
import { fineTuning } from '../methods/fine-tuning.js';
import { buildModel } from '../models/build-model.js';
import { noLabel, type Example } from '../models/model.js';
import { readBlueprint } from '../models/registry.js';
import { uploadInputs } from '../models/upload.js';
import { AdamW } from '../optim/adamw.js';
import { countHostTraffic, type HostTraffic } from '../../../test/support/host-traffic.js';

const isSetUp = nativeIsSetUp('@tensorflow/tfjs-node');
const missing = isSetUp ? '' : ': skipped, for TensorFlow is not set up here (npm run plumbline -- setup)';

describe.runIf(isSetUp)(`traffic with the host${missing}`, () => {
  beforeAll(async () => {
    await selectBackend({ prefer: 'tensorflow' });
  });

  const examples = [1, 2].map((first): Example => {
    const ids = Int32Array.from({ length: 12 }, (_, at) => first + at);
    return { ids, labels: ids.map((id, at) => (at < 8 ? noLabel : id)), pictures: [] };
  });

  /** One step of training a model of so many layers and heads of 4, after a step that compiles. */
  async function trafficOfStep(layers: number, heads: number): Promise<HostTraffic & { size: number }> {
    const blueprint = readBlueprint({
      model_type: 'llama',
      ...{ hidden_size: 4 * heads, intermediate_size: 8 * heads, num_hidden_layers: layers },
      ...{ num_attention_heads: heads, num_key_value_heads: heads, vocab_size: 50, max_position_embeddings: 64 },
      ...{ rms_norm_eps: 1e-5, tie_word_embeddings: true },
    });
    const read = (name: string): Promise<Float32Array> => {
      const { shape } = blueprint.parameters.find((parameter) => parameter.name === name)!;
      return Promise.resolve(new Float32Array(shape.reduce((product, side) => product * side, 1)).fill(0.1));
    };
    const method = compiled(fineTuning(await buildModel({ blueprint, read })));
    const { model } = method;
    const optimizer = new AdamW();
    const step = async (): Promise<void> => {
      const inputs = uploadInputs(model.collate(examples));
      const { loss, gradients } = method.lossAndGradients(inputs, model.parameters.names);
      const norm = optimizer.apply(model.parameters, gradients, 1e-3, 1);
      await loss.data();
      tf.dispose([loss, norm, ...gradients.values(), ...Object.values(inputs)]);
    };
    await step();
    const traffic = await countHostTraffic(step);
    const { size } = model.parameters;
    optimizer.dispose();
    method.dispose();
    return { ...traffic, size };
  }

  it('of a training step does not grow with the model', async () => {
    const [small, large] = [await trafficOfStep(1, 2), await trafficOfStep(4, 8)];
    expect(large.size).toBeGreaterThan(20 * small.size);
    expect([large.up, large.down]).toEqual([small.up, small.down]);
    // The loss comes down; token ids and tables of angles go up.
    expect(small.down).toBe(4);
    expect(small.up).toBeGreaterThan(0);
    expect(small.up).toBeLessThan(4000);
  });
});
