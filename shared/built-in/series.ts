import {
  blocks,
  contributionChange,
  heldOutAccuracy,
  heldOutTaskOf,
  metrics,
  numberTokenPush,
  targetAccuracy,
  weightDrift,
} from '../metric.js';
import { fromWireNumber, type WireMetrics } from '../metric.js';
import { accuracyNoiseFloor } from '../recovery.js';
import { entryOf } from '../record.js';
import type { SeriesFacts } from '../series.js';
import type { RunConfig } from './run-config.js';
import { heldOutTaskNames } from './tasks.js';

/** Projections of a decoder layer. */
const layerProjections = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
/** Decoder layers of the shipped base model. */
const layers = [0, 1, 2, 3];
/** Questions of this task are always asked: number-token bias is read where a number is due. */
const alwaysAsked = 'counting';

/** The names of all series of a run of the built-in trainer. */
export function builtInSeries({ tasks, method }: Pick<RunConfig, 'tasks' | 'method'>): string[] {
  const { questionsPerTask: _, taskLoss, distillationLoss, ...always } = metrics;
  const experts = method.kind === 'mixture_of_experts' ? Array.from({ length: method.experts }, (_, i) => i) : [];
  const mlp = layerProjections.filter((name) => !/^[qkvo]_/.test(name));
  const groups = layers.flatMap((layer) =>
    [
      ...layerProjections.map((name) => `${mlp.includes(name) ? 'mlp' : 'self_attn'}.${name}`),
      ...experts.flatMap((expert) => mlp.map((name) => `mlp.experts.${expert}.${name}`)),
      ...(experts.length > 0 ? ['mlp.router'] : []),
      'norms',
    ].map((group) => `language_model.layers.${layer}.${group}`),
  );
  const outside = ['embed_tokens', 'norm', 'lm_head'].map((part) => `language_model.${part}`);
  outside.push('vision_tower', 'multi_modal_projector');
  return [
    ...Object.values(always),
    ...(method.kind === 'lwf' ? [taskLoss, distillationLoss] : []),
    ...[...new Set([...tasks, alwaysAsked])].map(targetAccuracy),
    ...heldOutTaskNames.map(heldOutAccuracy),
    ...[...groups, ...outside].map(weightDrift),
    ...[contributionChange, numberTokenPush].flatMap((of) =>
      layers.flatMap((layer) => blocks.map((block) => of(layer, block))),
    ),
  ];
}

/** The facts about series, by patterns of their names. */
const facts: readonly (readonly [of: RegExp, facts: Omit<SeriesFacts, 'name'>])[] = [
  [/^(held_out|target)\/.+\/accuracy$/, { unit: '%', better: 'higher' }],
  [/^shift\/top1_agreement$/, { unit: '%', better: 'higher', label: 'Top-1 agreement' }],
  [/^energy\/measured_percent$/, { unit: '%' }],
  [/^train\/loss$/, { unit: 'nats', better: 'lower', label: 'Loss' }],
  [/^train\/(task|distillation)_loss$/, { unit: 'nats', better: 'lower' }],
  [/^shift\/kl$/, { unit: 'nats', better: 'lower', label: 'KL(base ‖ now)' }],
  [/^shift\/js$/, { unit: 'nats', better: 'lower', label: 'Jensen-Shannon divergence' }],
  [/^shift\/entropy$/, { unit: 'nats', label: 'Entropy' }],
  [/^bias\/number_tokens\/target$/, { unit: 'probability', label: 'Number-token bias, target' }],
  [/^bias\/number_tokens\/held_out$/, { unit: 'probability', better: 'lower', label: 'Number-token bias, held-out' }],
  [/^drift\//, { unit: '× the base' }],
  [/^contribution\//, { unit: 'logits' }],
  [/^train\/learning_rate$/, { label: 'Learning rate' }],
  [/^train\/gradient_norm$/, { label: 'Gradient norm' }],
  [/^(train\/step_|probe\/)duration_ms$/, { unit: 'ms', better: 'lower' }],
  [/^train\/trainable_parameters$/, { unit: 'parameters' }],
  [/^train\/optimizer_bytes$/, { unit: 'bytes' }],
  [/^energy\/joules(_low|_high)?$/, { unit: 'J', better: 'lower' }],
  [/^energy\/co2_grams$/, { unit: 'g CO₂e', better: 'lower' }],
];

/**
 * Noise floors of number-token bias (probability) and of the divergences (nats): about two standard deviations between
 * probe sets of 24 questions a task drawn anew, of a model that has just begun to drift. `npm run -s
 * experiment:probe-noise`, eight sets after 100 steps of counting with `full` at 3e-4: bias 0.0014 with a deviation of
 * 0.0009, KL 0.114 with 0.019, JS 0.026 with 0.004.
 */
const noiseFloors: ReadonlyMap<string, number> = new Map([
  [metrics.numberTokensHeldOut, 0.002],
  [metrics.kl, 0.04],
  [metrics.js, 0.009],
]);

/** The number of questions behind an accuracy if the baseline lacks it, as in early versions. */
const usualQuestions = 24;

/**
 * The built-in trainer's declaration of a series.
 * @param baseline the base model's own values, which determine the noise of an accuracy
 */
export function builtInDeclaration(name: string, baseline: Readonly<WireMetrics> = {}): SeriesFacts {
  const known = facts.find(([of]) => of.test(name))?.[1];
  const noiseFloor = noiseFloors.get(name) ?? accuracyNoise(name, baseline);
  return { name, ...known, ...(noiseFloor !== undefined && { noiseFloor }) };
}

/** The noise of an accuracy in percentage points; undefined for other series, and if the base model lacks the value. */
function accuracyNoise(name: string, baseline: Readonly<WireMetrics>): number | undefined {
  const base = entryOf(baseline, name);
  if (!/^(held_out|target)\/.+\/accuracy$/.test(name) || typeof base !== 'number') return undefined;
  const tasks = Object.keys(baseline).filter((each) => heldOutTaskOf(each) !== undefined).length;
  const questions = fromWireNumber(baseline[metrics.questionsPerTask] ?? usualQuestions);
  return accuracyNoiseFloor(base, questions * (name === metrics.heldOutMean ? Math.max(1, tasks) : 1));
}
