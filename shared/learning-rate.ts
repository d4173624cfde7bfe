import { maxLearningRate } from './limits.js';

/** Why a value is no learning rate. */
export const learningRateFaults = {
  notANumber: 'a learning rate is a number',
  tooLow: 'a learning rate is above 0',
  tooHigh: `a learning rate above ${maxLearningRate} destroys any model`,
} as const;
