/**
 * The epoch milliseconds at which each step was completed. It is stored and thinned like a metric. The hub takes it from
 * the `step_completed` events; trainers do not send it.
 */
export const wallTimeSeries = 'run/wall_time_ms';

/** The metrics that pages and findings know by name. A trainer sends those that it measures, and any others. */
export const metrics = {
  loss: 'train/loss',
  /** The parts of the loss for methods that add to it (LwF): cross-entropy of the answers, and weighted distillation. */
  taskLoss: 'train/task_loss',
  distillationLoss: 'train/distillation_loss',
  learningRate: 'train/learning_rate',
  gradientNorm: 'train/gradient_norm',
  stepDurationMs: 'train/step_duration_ms',
  trainableParameters: 'train/trainable_parameters',
  /**
   * Optimizer memory on the device: two moments (8 bytes) of each parameter trained in this stage, and a flat copy (4 bytes)
   * of each parameter in training now.
   */
  optimizerBytes: 'train/optimizer_bytes',
  /** KL(base || now) and Jensen-Shannon divergence in nats on the fixed probe prompts. */
  kl: 'shift/kl',
  js: 'shift/js',
  entropy: 'shift/entropy',
  /** Share of probe positions whose most likely token is still the base model's, in percent. */
  top1Agreement: 'shift/top1_agreement',
  /** Number-token bias: probability mass on number tokens, 0..1. */
  numberTokensTarget: 'bias/number_tokens/target',
  numberTokensHeldOut: 'bias/number_tokens/held_out',
  heldOutMean: 'held_out/mean/accuracy',
  /**
   * Energy of the run in joules since its start, pauses included, with a lower and an upper bound. A branch starts from 0.
   * A trainer that measures it sends it with steps, about once a second, and with probes.
   */
  energyJoules: 'energy/joules',
  energyJoulesLow: 'energy/joules_low',
  energyJoulesHigh: 'energy/joules_high',
  /** How much of `energy/joules` a sensor measured, in percent; the rest is modelled. */
  energyMeasured: 'energy/measured_percent',
  /** Emissions of that energy, g CO2e. */
  co2Grams: 'energy/co2_grams',
  probeDurationMs: 'probe/duration_ms',
  /** In a run's baseline only: how many questions a task's accuracy rests on. */
  questionsPerTask: 'probe/questions_per_task',
} as const;

export const heldOutAccuracy = (task: string): string => `held_out/${task}/accuracy`;

export const targetAccuracy = (task: string): string => `target/${task}/accuracy`;

/** The task whose held-out accuracy a series is, if it is one; the mean over tasks is none. */
export const heldOutTaskOf = (name: string): string | undefined =>
  /^held_out\/(?!mean\/)(.+)\/accuracy$/.exec(name)?.[1];

/** The task whose target accuracy a series is, if it is one. */
export const targetTaskOf = (name: string): string | undefined => /^target\/(.+)\/accuracy$/.exec(name)?.[1];

/** Relative L2 distance of a parameter group from the base model: ||w - w0|| / ||w0||. */
export const weightDrift = (group: string): string => `drift/${group}`;

/** The usual blocks of a decoder layer: each writes an update of its own to the residual stream. */
export const blocks = ['self_attn', 'mlp'] as const;

/**
 * How far a block's update of the residual stream has moved from the base model's, seen through the final norm and the
 * output head: root mean square over the vocabulary and the held-out answer positions, in logits.
 */
export const contributionChange = (layer: number, block: string): string => `contribution/${layer}/${block}`;

/** How much more a block pushes number tokens than other tokens, compared with the base model, in logits. */
export const numberTokenPush = (layer: number, block: string): string => `contribution/number_tokens/${layer}/${block}`;
