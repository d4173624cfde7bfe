import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import {
  distance,
  loadPictureGolden,
  loadTextGolden,
  lossAndGradients,
  pictureGoldens,
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
const goldens = [
  ...textGoldens.map((model) => {
    const golden = loadTextGolden(model);
    return { model, golden, wanted: golden.facts };
  }),
  ...pictureGoldens.map((model) => {
    const golden = loadPictureGolden(model);
    return { model, golden, wanted: { loss: golden.differentiated.loss, written: golden.written } };
  }),
];
for (const { model, golden, wanted } of goldens) {
  const { build, named, examples, prompts } = golden;
  const built = build();
  const { loss, gradients } = lossAndGradients(built, examples, [...named('gradient/').keys()]);
  const differences = { loss: Math.abs((await loss.data())[0]! - wanted.loss), gradients: 0 };
  for (const [name, { data }] of named('gradient/')) {
    // A softmax does not see what is added to all its keys: these gradients are zero but for rounding.
    const least = /vision_(tower|model)\..*\.k_proj\.bias$/.test(name) ? 1e-2 : 1e-6;
    const apart = distance(await gradients[name]!.data(), data, least);
    if (!(apart <= differences.gradients)) differences.gradients = apart;
  }
  const written = await built.generate(prompts, { maxNewTokens: wanted.written[0]!.length, endIds: [] });
  const sameTokens = JSON.stringify(written) === JSON.stringify(wanted.written);
  console.log(JSON.stringify({ model, device, tolerances, differences, sameTokens }));
  allSame &&= sameTokens && differences.loss < tolerances.loss && differences.gradients < tolerances.gradients;
}
process.exit(allSame ? 0 : 1);
