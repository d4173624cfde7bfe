import { CommandId, AskedCommand } from '@plumbline/shared/command';
import { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import { CompareQuery, HistoryQuery, LargeEventsQuery, SessionRequest, WindowsQuery } from '@plumbline/shared/http';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { Rng } from '@plumbline/shared/rng';
import { Attach, TrainerAuth, Watch } from '@plumbline/shared/socket';
import { readEvents } from '@plumbline/server/dist/run/read-events.js';
import { decodePacket, decodePayload } from 'engine.io-parser';
import { Decoder } from 'socket.io-parser';
import type { z } from 'zod';
import { messageFault, ofValues, type OpenBoundary, type Schema } from './boundary.js';
import { mutated, mutatedText } from './mutation.js';

const rules = [
  {
    ...{ name: 'Drop', metric: 'held_out/mean/accuracy', rearmMargin: 1 },
    condition: { kind: 'change_from_base', side: 'below', by: 5, consecutive: 2 },
    actions: [{ kind: 'pause' }, { kind: 'notify', url: 'https://hooks.example.org/plumbline' }],
  },
  {
    ...{ name: 'Slope', metric: 'train/loss' },
    condition: { kind: 'slope', side: 'above', perStep: 0.1, window: 10 },
    actions: [
      { kind: 'lower_learning_rate', factor: 0.5 },
      { kind: 'restore_best_checkpoint', metric: 'shift/kl', better: 'lower' },
    ],
  },
];
const config = { ...RunConfig.parse({ name: 'fuzz' }), rules };
const run = { ...describeRun(RunConfig.parse({ name: 'fuzz' })), rules };
const parent = { runId: 'run-0', checkpointId: 'step-000100', step: 100, goesOn: true };
const event = (seq: number, type: string, fields: object): object => ({
  type,
  seq,
  step: seq,
  wallTimeMs: 1_700_000_000_000 + seq,
  ...fields,
});
const metrics = { 'train/loss': 0.5, 'shift/kl': 'NaN', 'held_out/colour/accuracy': 97 };
const columns = { stage: 0, series: [0, 1, 2], values: Object.values(metrics) };
const series = Object.keys(metrics).map((name, number) => ({ number, name, unit: 'nats', noiseFloor: 0.1 }));
export const sampleEvents = [
  event(1, 'run_started', {
    trainer: { backend: 'x', device: '', host: 'h', processId: 1, version: '1' },
    model: {
      name: 'm',
      groups: [{ name: 'a', part: 'language', layer: 0, block: 'mlp', projection: 'fc1' }],
      parameters: [{ name: 'a.weight', shape: [2, 2], size: 4, group: 'a' }],
      recipes: [{ name: 'full', label: 'Full', groups: ['a'] }],
    },
    ...{ baseline: metrics, selection: { kind: 'recipe', recipe: 'full' }, trainable: ['a.weight'] },
    series,
  }),
  event(2, 'step_completed', columns),
  event(3, 'probe_completed', columns),
  event(4, 'stage_started', { stage: 1, task: 'counting', steps: 100 }),
  event(5, 'evaluation_completed', { stage: null, weight: 0.5, right: { counting: '0101' } }),
  event(6, 'run_paused', { reason: 'Paused.' }),
  event(7, 'run_resumed', {}),
  event(8, 'command_applied', { commandId: 'command-1', before: { a: 1 }, after: { a: null } }),
  event(9, 'command_failed', { commandId: 'command-2', reason: 'No.' }),
  event(10, 'trainable_changed', { selection: { kind: 'pattern', pattern: 'a.*' }, trainable: [] }),
  event(11, 'checkpoint_saved', { checkpointId: 'step-000011', bytes: 1, digest: 'x' }),
  event(12, 'series_declared', { series }),
  event(13, 'token_shift', { prompts: 'held_out', tokens: [{ token: ' three', id: 1115, base: 0.01, now: 0.4 }] }),
  event(14, 'examples', {
    task: 'counting',
    examples: [
      {
        ...{ exampleId: 'q-1', prompt: 'how many ?', picture: { mediaType: 'image/png', base64: 'iVBORw0KGgoA' } },
        ...{ expected: 'three', base: { answer: 'red', right: false }, now: { answer: 'three', right: true } },
      },
    ],
  }),
  event(15, 'run_failed', { reason: 'It failed.' }),
];
export const sampleCommands = [
  ...[{ kind: 'pause' }, { kind: 'step_once' }, { kind: 'set_learning_rate', learningRate: 1e-4 }],
  ...[
    { kind: 'set_trainable', selection: { kind: 'groups', groups: ['a', 'b'] } },
    { kind: 'lower_learning_rate', factor: 0.5 },
  ],
  ...[
    { kind: 'restore_checkpoint', checkpointId: 'step-000100', branchRunId: 'run-2' },
    { kind: 'set_rules', rules, replaces: [] },
  ],
].map((action) => ({ commandId: 'command-12345', runId: 'run-1', action }));
export const sampleAttach = { runId: 'run-1', run, parent, acknowledgedSeq: 0 };

const range = { metric: ['train/loss', 'shift/kl'], fromStep: '1', toStep: '400' };
const messages: [z.ZodType, unknown][] = [
  [HistoryQuery, { ...range, maxPoints: '1500' }],
  [WindowsQuery, { ...range, everySteps: '100' }],
  [LargeEventsQuery, { fromStep: '1', toStep: '400', beforeSeq: '9', newest: '2', maxBytes: '1000' }],
  [CompareQuery, { ...range, run: ['run-1', 'run-2'] }],
  [StartRunRequest, { config, from: { runId: 'run-0', checkpointId: 'step-000100' } }],
  [SessionRequest, { token: 'x'.repeat(43) }],
  [RunId, 'counting-1f9a3c'],
  [CommandId, 'command-12345'],
];

/** The hub's parser of a batch of events. */
const batch: Schema = { parse: readEvents };

// The unmutated message must be valid, or nothing beyond the first check is reached.
batch.parse({ events: sampleEvents });
Attach.parse(sampleAttach);
for (const command of sampleCommands) AskedCommand.parse(command);
for (const [schema, message] of messages) schema.parse(message);

/** A boundary of random schemas, each with an almost valid message. */
const ofMessages = (drawn: (rng: Rng) => [Schema, unknown]): OpenBoundary => {
  let schema: Schema;
  return ofValues(
    (rng) => {
      const [of, message] = drawn(rng);
      schema = of;
      return mutated(rng, message);
    },
    (value) => messageFault(schema, value),
  );
};

const frames = [
  ...[
    '40/dashboard,',
    '40/trainer,{"token":"x","protocol":1}',
    '41/dashboard,',
    '42/dashboard,1["watch",{"runId":"honest"}]',
  ],
  ...['42/trainer,7["events",{"events":[]}]', '43/trainer,1[{"ok":true}]', '44/x,{"message":"no"}', '40', '42["x"]'],
  ...[
    '451-/trainer,["events",{"_placeholder":true,"num":0}]',
    '461-/trainer,1[{"_placeholder":true,"num":0}]',
    'bAAECAw==',
  ],
  ...['2probe', '3', '5', '6', '0{"sid":"x"}', '1', '40/dashboard?a=b,{}'],
];
/** An almost valid frame, or a payload of several. */
export function drawFrame(rng: Rng): string {
  const frame = (): string => (rng.integer(8) === 0 ? rng.pick(frames) : mutatedText(rng, rng.pick(frames)));
  return Array.from({ length: rng.integer(4) === 0 ? 1 + rng.integer(4) : 1 }, frame).join('\x1e');
}

/** Decodes a frame like Engine.IO and Socket.IO do before our code; an error there ends the connection. */
function frameFault(frame: unknown): string | null {
  const packets = [...decodePayload(frame as string, 'nodebuffer'), decodePacket(frame as string, 'nodebuffer')];
  for (const { type, data } of packets) {
    if (type !== 'message') continue;
    const decoder = new Decoder();
    try {
      decoder.add(data as string);
    } catch (error) {
      if (!(error instanceof Error)) return `a value was thrown that is not an error: ${String(error)}`;
    } finally {
      decoder.destroy();
    }
  }
  return null;
}

/** Boundaries of the wire, each with the hub's own parser. */
export const messageBoundaries: Record<string, OpenBoundary> = {
  frames: ofValues(drawFrame, frameFault),
  'trainer messages': ofMessages((rng) => {
    const from = rng.integer(sampleEvents.length);
    return rng.integer(5) === 0
      ? rng.pick<[z.ZodType, unknown]>([
          [Attach, sampleAttach],
          [TrainerAuth, { token: 'x'.repeat(43), protocol: 1 }],
        ])
      : [batch, { events: sampleEvents.slice(from, from + 1 + rng.integer(3)) }];
  }),
  'dashboard messages': ofMessages((rng) =>
    rng.integer(5) === 0 ? [Watch, { runId: 'run-1' }] : [AskedCommand, rng.pick(sampleCommands)],
  ),
  'rest queries and bodies': ofMessages((rng) => rng.pick(messages)),
};
