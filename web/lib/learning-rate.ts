import { learningRateFaults } from '@plumbline/shared/learning-rate';
import { maxLearningRate } from '@plumbline/shared/limits';

/** Says in a sentence why a typed learning rate is wrong, as the hub would; empty if it is valid. */
export function learningRateProblem(typed: string): string {
  if (typed.trim() === '') return 'Give a number.';
  const rate = Number(typed);
  if (Number.isNaN(rate)) return `“${typed}” is not a number. Write it like 5e-4 or 0.0005.`;
  if (rate > maxLearningRate) return sentence(learningRateFaults.tooHigh);
  return rate > 0 ? '' : sentence(learningRateFaults.tooLow);
}

const sentence = (fault: string): string => `${fault.charAt(0).toUpperCase()}${fault.slice(1)}.`;
