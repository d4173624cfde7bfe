import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import {
  distance,
  loadTextGolden,
  lossAndGradients,
  textGoldens,
} from '@plumbline/server/dist/trainer/models/golden-model.js';

/*
 * Compares tiny models of the Hugging Face families with transformers' values (models/fixtures), on the backend named on
 * the command line. Prints one JSON line for each: the device, the largest differences, and whether it writes the same
 * tokens. Exits with 1 if one differs.
 */

const tolerances = { loss: 1e-4, gradients: 1e-3 };

const { device } = await selectBackend({ prefer: process.argv[2] as BackendName, allowSoftwareGpu: true });
let allSame = true;
for (const model of textGoldens) {
  const { facts, build, named, examples, prompts } = loadTextGolden(model);
  const built = build();
  const { loss, gradients } = lossAndGradients(built, examples, built.parameters.names);
  const differences = { loss: Math.abs((await loss.data())[0]! - facts.loss), gradients: 0 };
  for (const [name, { data }] of named('gradient/')) {
    const apart = distance(await gradients[name]!.data(), data, 1e-6);
    if (!(apart <= differences.gradients)) differences.gradients = apart;
  }
  const written = await built.generate(prompts, { maxNewTokens: facts.written[0]!.length, endIds: [] });
  const sameTokens = JSON.stringify(written) === JSON.stringify(facts.written);
  console.log(JSON.stringify({ model, device, tolerances, differences, sameTokens }));
  allSame &&= sameTokens && differences.loss < tolerances.loss && differences.gradients < tolerances.gradients;
}
process.exit(allSame ? 0 : 1);
