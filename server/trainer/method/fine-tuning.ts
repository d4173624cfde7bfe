import type { VisionLanguageModel } from '../model/vision-language-model.js';
import type { Method } from './method.js';

/** Plain fine-tuning: cross-entropy on the answers only. Other methods use it to train the parameters that they add. */
export function fineTuning(model: VisionLanguageModel): Method {
  return {
    model,
    parameters: [...model.parameters],
    tables: model.tables,
    lossAndGradients: (batch, trainable) => ({ ...model.lossAndGradients(batch, trainable), parts: new Map() }),
    dispose: () => model.dispose(),
  };
}
