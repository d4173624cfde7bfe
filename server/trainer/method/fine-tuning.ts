import type { VisionLanguageModel } from '../model/vision-language-model.js';
import type { Method } from './method.js';

/** Cross-entropy on the answers alone: plain fine-tuning, also of what another method has added to the model. */
export function fineTuning(model: VisionLanguageModel): Method {
  return {
    model,
    tensors: model.tensors,
    lossAndGradients: (batch, trainable) => ({ ...model.lossAndGradients(batch, trainable), parts: new Map() }),
    dispose: () => model.dispose(),
  };
}
