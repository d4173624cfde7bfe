import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import type { Command } from '@plumbline/shared/command';
import { describeModel } from '@plumbline/server/dist/trainer/models/parameter-roles.js';
import { describeSelection, resolveSelection } from '@plumbline/shared/selection';
import type { ModelInfo, TrainableSelection } from '@plumbline/shared/parameter';
import { describeRun, totalSteps } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import type { Unnumbered, UnnumberedEvent } from '@plumbline/shared/trainer-event';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { llava15, mixture, qwen25Vl7b, type ListedParameter } from './real-models.js';

/**
 * A replay trainer: it speaks the trainer protocol and makes up its numbers, so that people can work on the hub and the
 * dashboard without a model.
 */
const usage = `npm run replay -- --token "$(cat .plumbline/trainer-token)" [options]
  --url http://127.0.0.1:4517  the hub        --name Replay  the run's name
  --steps 400  --stepMs 200  how many steps, and how long each takes
  --model made-up            or one by its real names: llava, qwen2.5-vl, mixture-of-experts
  --layers 4                 of the made-up model and of the mixture of experts`;
const options = readOptions();

type Options = Record<'url' | 'token' | 'name' | 'steps' | 'stepMs' | 'layers' | 'model', string>;
function readOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        url: { type: 'string', default: 'http://127.0.0.1:4517' },
        token: { type: 'string', default: '' },
        name: { type: 'string', default: 'Replay' },
        steps: { type: 'string', default: '400' },
        stepMs: { type: 'string', default: '200' },
        layers: { type: 'string', default: '4' },
        model: { type: 'string', default: 'made-up' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) end(usage, 0);
    if (!values.token) end(`The hub's trainer token is missing.\n${usage}`, 1);
    return values;
  } catch (error) {
    return end(`${error instanceof Error ? error.message : String(error)}\n${usage}`, 1);
  }
}

function end(message: string, code: number): never {
  (code === 0 ? console.log : console.error)(message);
  process.exit(code);
}

const config = RunConfig.parse({ name: options.name, steps: Number(options.steps), probeEverySteps: 5 });
const runId = RunId.parse(`replay-${randomUUID().slice(0, 6)}`);
const projections = ['self_attn.q', 'self_attn.k', 'self_attn.v', 'self_attn.o', 'mlp.gate', 'mlp.up', 'mlp.down'];
const madeUp = (): ListedParameter[] =>
  [
    'vision_tower.patch_embedding.weight',
    'multi_modal_projector.linear_1.weight',
    'language_model.embed_tokens.weight',
    ...Array.from({ length: Number(options.layers) }, (_, layer) =>
      projections.map((name) => `language_model.layers.${layer}.${name}_proj.weight`),
    ).flat(),
    'language_model.norm.weight',
  ].map((name) => ({ name, shape: [96, 96], size: 96 * 96 }));
const models: Record<string, () => ListedParameter[]> = {
  'made-up': madeUp,
  llava: llava15,
  'qwen2.5-vl': qwen25Vl7b,
  'mixture-of-experts': () => mixture(Number(options.layers)),
};
const parameters = models[options.model]?.() ?? end(`There is no model ${options.model}.\n${usage}`, 1);
const model: ModelInfo = describeModel(options.model, parameters);
const groupOf = new Map(model.parameters.map(({ name, group }) => [name, group]));
const sizeOf = new Map(model.parameters.map(({ name, size }) => [name, size]));
const layerOf = new Map(model.groups.map(({ name, layer }) => [name, layer ?? 0]));
const groups = model.groups.map(({ name }) => name);
const drift = new Map(groups.map((group) => [group, 0]));

let selection: TrainableSelection = { kind: 'recipe', recipe: config.recipe };
let learningRate = config.learningRate;
let paused = false;
let stopped = false;
let stepOnce = false;
let step = 0;
let seq = 0;
const unacknowledged: WireEvent[] = [];
/** The numbers of the series, by name. */
const numbers = new Map<string, number>();
const commands: Command[] = [];
const seen = new Set<string>();

const socket: Socket<HubToTrainer, TrainerToHub> = io(`${options.url}/trainer`, {
  auth: { token: options.token, protocol: protocolVersion },
});
let attached = false;
socket.on('connect', () =>
  socket.emit('attach', { runId, run: describeRun(config), parent: null }, (result) => {
    if (!result.ok) end(result.error.message, 1);
    attached = true;
  }),
);
socket.on('disconnect', () => (attached = false));
socket.on('connect_error', (error) => {
  // An active socket reconnects by itself; one that the hub refused does not.
  if (!socket.active) end(error.message, 1);
  console.error(`The hub at ${options.url} does not answer (${error.message}); trying again ...`);
});
socket.on('command', (command, ack) => {
  ack({ ok: true });
  if (seen.has(command.commandId)) return;
  seen.add(command.commandId);
  commands.push(command);
});

function emit(event: UnnumberedEvent): void {
  if (!('metrics' in event)) return queue(event);
  const { metrics, ...rest } = event;
  const fresh = Object.keys(metrics).filter((name) => !numbers.has(name));
  for (const name of fresh) numbers.set(name, numbers.size);
  if (fresh.length > 0)
    queue({
      type: 'series_declared',
      ...now(),
      series: fresh.map((name) => ({ number: numbers.get(name)!, ...builtInDeclaration(name) })),
    });
  const series = Object.keys(metrics).map((name) => numbers.get(name)!);
  queue({ ...rest, series, values: Object.values(metrics) });
}
function queue(event: Unnumbered<WireEvent>): void {
  unacknowledged.push({ ...event, seq: ++seq } as WireEvent);
}
async function flush(): Promise<void> {
  while (unacknowledged.length > 0) {
    const events = unacknowledged.slice(0, 500);
    const answer = attached
      ? await socket
          .timeout(5000)
          .emitWithAck('events', { events })
          .catch(() => null)
      : null;
    if (answer?.ok) while (unacknowledged[0] && unacknowledged[0].seq <= answer.lastSeq) unacknowledged.shift();
    else {
      if (answer) console.error(answer.error.message);
      await sleep(500);
    }
  }
}
const trainable = (): string[] => {
  const resolved = resolveSelection(selection, model);
  return resolved.ok ? resolved.trainable : [];
};
const now = () => ({ step, wallTimeMs: Date.now() });

function apply({ commandId, action }: Command): void {
  const applied = (before: Record<string, string | number>, after: Record<string, string | number>) =>
    emit({ type: 'command_applied', ...now(), commandId, before, after });
  const state = () => ({ state: paused ? 'paused' : 'running' });
  const before = state();
  switch (action.kind) {
    case 'pause':
      paused = true;
      emit({ type: 'run_paused', ...now(), reason: 'Paused by a command.' });
      return applied(before, state());
    case 'resume':
      paused = false;
      emit({ type: 'run_resumed', ...now() });
      return applied(before, state());
    case 'step_once':
      stepOnce = true;
      return applied({ step }, { step: step + 1 });
    case 'stop':
      stopped = true;
      return applied(before, { state: 'stopped' });
    case 'set_learning_rate':
    case 'lower_learning_rate': {
      const rate = action.kind === 'set_learning_rate' ? action.learningRate : learningRate * action.factor;
      applied({ learning_rate: learningRate }, { learning_rate: rate });
      learningRate = rate;
      return;
    }
    case 'set_trainable': {
      const resolved = resolveSelection(action.selection, model);
      if (!resolved.ok) return emit({ type: 'command_failed', ...now(), commandId, reason: resolved.reason });
      const trained = trainable();
      const change = { selection: describeSelection(selection), trainable: trained.length };
      if (resolved.trainable.join() === trained.join()) return applied(change, change);
      selection = action.selection;
      emit({ type: 'trainable_changed', ...now(), selection, trainable: resolved.trainable });
      return applied(change, { selection: describeSelection(selection), trainable: resolved.trainable.length });
    }
    case 'evaluate_now':
      probe();
      return applied({}, { probe: step });
    case 'save_checkpoint': {
      const checkpointId = `step-${step}`;
      emit({ type: 'checkpoint_saved', ...now(), checkpointId: checkpointId as never, bytes: 0, digest: 'none' });
      return applied({}, { checkpointId });
    }
    case 'restore_checkpoint':
      return emit({ type: 'command_failed', ...now(), commandId, reason: 'A replay keeps no checkpoints.' });
  }
}

/** 0 at the base model, approaching 1 as the trained parts move. */
const moved = () => Math.tanh([...drift.values()].reduce((sum, value) => sum + value, 0) / groups.length / 0.02);
const noise = (size: number) => (Math.random() - 0.5) * size;

/** Contributions of each layer's attention and MLP, larger in deeper layers. */
function contributions(shift: number): Record<string, number> {
  const layers = new Set(model.groups.flatMap(({ part, layer }) => (part === 'language' ? (layer ?? []) : [])));
  return Object.fromEntries(
    [...layers].flatMap((layer) =>
      ['self_attn', 'mlp'].flatMap((block, at) => [
        [`contribution/${layer}/${block}`, shift * (layer + 1) * (at + 1) * 0.05],
        [`contribution/number_tokens/${layer}/${block}`, shift * Math.sin(layer) * 0.1],
      ]),
    ),
  );
}

function train(): void {
  step += 1;
  const names = new Set(trainable().map((name) => groupOf.get(name)!));
  for (const group of names)
    drift.set(group, drift.get(group)! + learningRate * 0.1 * Math.random() * (1 + layerOf.get(group)! / 4));
  const loss = step === 150 ? NaN : 0.3 + 2.5 * Math.exp(-step / 60) + noise(0.2) + (step % 97 === 0 ? 3 : 0);
  emit({
    type: 'step_completed',
    ...now(),
    stage: 0,
    metrics: {
      'train/loss': Number.isNaN(loss) ? 'NaN' : loss,
      'train/learning_rate': learningRate,
      'train/gradient_norm': 1 + Math.abs(noise(0.6)),
      'train/step_duration_ms': Number(options.stepMs) + noise(10),
      'train/trainable_parameters': trainable().reduce((sum, name) => sum + sizeOf.get(name)!, 0),
    },
  });
  if (step % config.probeEverySteps === 0) probe();
}
function probe(): void {
  const shift = moved();
  emit({
    type: 'probe_completed',
    ...now(),
    stage: 0,
    metrics: {
      'shift/kl': 1.4 * shift + Math.abs(noise(0.02)),
      'shift/js': 0.4 * shift,
      'shift/entropy': 1 - 0.5 * shift,
      'shift/top1_agreement': 100 - 60 * shift,
      'bias/number_tokens/target': Math.min(1, 0.1 + 0.8 * shift),
      'bias/number_tokens/held_out': 0.3 * shift,
      'held_out/mean/accuracy': 88 - 35 * shift + noise(1),
      'held_out/colour/accuracy': 97 - 30 * shift + noise(2),
      'held_out/shape/accuracy': 90 - 45 * shift + noise(2),
      'target/counting/accuracy': 60 * (1 - Math.exp(-step / 80)),
      'probe/duration_ms': 300 + noise(20),
      ...Object.fromEntries([...drift].map(([group, value]) => [`drift/${group}`, value])),
      ...contributions(shift),
    },
  });
}

emit({
  type: 'run_started',
  ...now(),
  trainer: { backend: 'replay', device: 'none', host: hostname(), processId: process.pid, version: '1' },
  model,
  baseline: {
    'held_out/mean/accuracy': 88,
    'held_out/colour/accuracy': 97,
    'held_out/shape/accuracy': 90,
    'target/counting/accuracy': 0,
    'bias/number_tokens/held_out': 0.001,
    'bias/number_tokens/target': 0.1,
    'shift/entropy': 1,
  },
  selection,
  trainable: trainable(),
});
process.on('SIGTERM', () => (stopped = true));
while (step < totalSteps(config) && !stopped) {
  for (let command = commands.shift(); command; command = commands.shift()) apply(command);
  if (!paused || stepOnce) {
    stepOnce = false;
    train();
  }
  await Promise.all([flush(), sleep(Number(options.stepMs))]);
}
emit(stopped ? { type: 'run_stopped', ...now(), reason: 'Stopped by a command.' } : { type: 'run_finished', ...now() });
await flush();
socket.close();
