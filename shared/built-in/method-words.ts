import type { TrainingMethod } from './method.js';

/** The short name of a method, for tables and reports: `LoRA r8`, `LwF 1`. */
export function describeMethod(method: TrainingMethod): string {
  switch (method.kind) {
    case 'fine_tuning':
      return 'fine-tuning';
    case 'lora':
      return `LoRA r${method.rank} α${method.alpha}`;
    case 'lwf':
      return `LwF λ${method.weight} T${method.temperature}`;
    case 'wise_ft':
      return `WiSE-FT ${method.weights.join('/')}`;
    case 'mixture_of_experts':
      return `MoE +${method.experts}`;
  }
}

/**
 * Describes what a method adds to the base model; empty if nothing. Weights fit only a model with the same additions, so a
 * run can continue a checkpoint only if the descriptions are equal.
 */
export function additionWords(method: TrainingMethod): string {
  switch (method.kind) {
    case 'lora':
      return `LoRA adapters of rank ${method.rank} and alpha ${method.alpha}`;
    case 'mixture_of_experts':
      return `${method.experts} further ${method.experts === 1 ? 'expert' : 'experts'} in each layer`;
    default:
      return '';
  }
}

/** Why a run with one method cannot continue a checkpoint of the other; empty if it can. */
export function misfitWords(checkpoint: TrainingMethod, run: TrainingMethod): string {
  const [has, needs] = [additionWords(checkpoint), additionWords(run)];
  if (has === needs) return '';
  const model = (words: string): string => (words === '' ? 'a model without additions' : `a model with ${words}`);
  return `The checkpoint is of ${model(has)}; this run trains ${model(needs)}. Choose the method of the checkpoint's run, or start from the base.`;
}
