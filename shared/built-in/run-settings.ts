import type { TargetTask } from './tasks.js';

export const backends = ['auto', 'tensorflow-gpu', 'webgpu', 'tensorflow', 'wasm'] as const;
/** The most experts that a mixture adds to a layer. */
export const maxExperts = 8;
export const schedules = ['constant', 'cosine'] as const;

/** The settings of a run that says nothing but its name. */
export const defaultSettings = {
  tasks: ['counting'] as TargetTask[],
  recipe: 'full',
  method: { kind: 'fine_tuning' },
  learningRate: 1e-3,
  steps: 400,
  warmupSteps: 20,
  schedule: 'cosine',
  batchSize: 32,
  seed: 1,
  weightDecay: 0.01,
  maxGradientNorm: 1,
  probeEverySteps: 40,
  checkpointEverySteps: 100,
  keepCheckpointsAt: [] as number[],
  evaluationQuestions: 0,
  evaluationSeed: 1,
  backend: 'auto',
} as const;
