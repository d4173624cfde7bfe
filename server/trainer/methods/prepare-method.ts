import type { TrainingMethod } from '@plumbline/shared/built-in/method';
import type { Base } from '../models/base.js';
import { buildModel } from '../models/build-model.js';
import { compiled } from './compiled.js';
import { fineTuning } from './fine-tuning.js';
import { lora } from './lora.js';
import { lwf } from './lwf.js';
import type { Method } from './method.js';
import { mixtureOfExperts } from './mixture-of-experts.js';
import { wiseFt } from './wise-ft.js';

/** @param seed the run's seed, for a method's random initial values */
export async function prepareMethod(settings: TrainingMethod, base: Base, seed: number): Promise<Method> {
  return compiled(await methodOf(settings, base, seed));
}

async function methodOf(settings: TrainingMethod, base: Base, seed: number): Promise<Method> {
  switch (settings.kind) {
    case 'fine_tuning':
      return fineTuning(await buildModel(base));
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
