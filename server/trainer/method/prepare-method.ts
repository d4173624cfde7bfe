import type { TrainingMethod } from '@plumbline/shared/built-in/method';
import { buildModel, type BaseWeights } from '../checkpoint.js';
import { fineTuning } from './fine-tuning.js';
import { compiled } from './compiled.js';
import { lora } from './lora.js';
import { lwf } from './lwf.js';
import type { Method } from './method.js';
import { mixtureOfExperts } from './mixture-of-experts.js';
import { wiseFt } from './wise-ft.js';

/**
 * @param seed the run's seed, for a method's random initial values
 * @throws DamagedFileError when the base's weights do not fit its configuration
 */
export function prepareMethod(settings: TrainingMethod, base: BaseWeights, seed: number): Method {
  return compiled(methodOf(settings, base, seed));
}

function methodOf(settings: TrainingMethod, base: BaseWeights, seed: number): Method {
  switch (settings.kind) {
    case 'fine_tuning':
      return fineTuning(buildModel(base.config, base.weights));
    case 'lora':
      return lora(base, settings, seed);
    case 'lwf':
      return lwf(base, settings);
    case 'wise_ft':
      return wiseFt(base, settings);
    case 'mixture_of_experts':
      return mixtureOfExperts(base, settings, seed);
  }
}
