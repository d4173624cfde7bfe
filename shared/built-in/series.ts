import {
  blocks,
  contributionChange,
  heldOutAccuracy,
  metrics,
  numberTokenPush,
  targetAccuracy,
  weightDrift,
} from '../metric.js';
import type { RunConfig } from './run-config.js';
import { heldOutTaskNames } from './tasks.js';

/** Projections of a decoder layer. */
const layerProjections = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
/** Decoder layers of the shipped base model. */
const layers = [0, 1, 2, 3];
/** Questions of this task are always asked: number-token bias is read where a number is due. */
const alwaysAsked = 'counting';

/** The names of all series that a run of the built-in trainer gives; another trainer's may be others. */
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
