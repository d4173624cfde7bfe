import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { io, type Socket } from 'socket.io-client';
import { RunId } from '@plumbline/shared/run';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { quantile } from './quantile.js';

/**
 * The trainer's side of bench:ingest, bench:fanout and bench:soak, in its own process like a trainer. It reads its
 * options as JSON from the first argument and prints the acknowledged totals as JSON.
 */
export interface SenderOptions {
  url: string;
  token: string;
  runId: string;
  seconds: number;
  /** Values per step, e.g. the loss, the rates and the drift of a hundred parameter groups. */
  metricsPerStep: number;
  /** `null`: as fast as acknowledgements arrive. */
  valuesPerS: number | null;
  /** Ends early after this many values. */
  maxValues?: number;
}
export interface SenderResult {
  values: number;
  seconds: number;
  lastSeq: number;
  /** Milliseconds from `emit` to the acknowledgement of a batch. */
  ackP50Ms: number;
  ackP99Ms: number;
}

const options = JSON.parse(process.argv[2] ?? '') as SenderOptions;
const { metricsPerStep, valuesPerS } = options;
const stepsPerBatch = valuesPerS === null ? 50 : 1;
const batchesInFlight = valuesPerS === null ? 3 : 1;
const names = Array.from({ length: metricsPerStep }, (_, i) => `drift/language_model.layers.${i}.mlp.up_proj`);
const numbers = names.map((_, number) => number);
let seq = 0;
let durable = 0;
const ackMs: number[] = [];

const socket: Socket<HubToTrainer, TrainerToHub> = io(`${options.url}/trainer`, {
  auth: { token: options.token, protocol: protocolVersion },
  transports: ['websocket'],
});
const attached = await socket.emitWithAck('attach', {
  runId: RunId.parse(options.runId),
  run: { name: options.runId },
  parent: null,
});
if (!attached.ok) throw new Error(attached.error.message);
await send([
  {
    type: 'run_started',
    seq: ++seq,
    step: 0,
    wallTimeMs: Date.now(),
    trainer: { backend: 'bench', device: 'none', host: hostname(), processId: process.pid, version: '1' },
    model: { name: 'none', groups: [], parameters: [], recipes: [] },
    baseline: {},
    selection: { kind: 'recipe', recipe: 'none' },
    trainable: [],
    series: names.map((name, number) => ({ number, name })),
  },
]);

const startMs = performance.now();
const elapsedS = () => (performance.now() - startMs) / 1000;
await Promise.all(Array.from({ length: batchesInFlight }, pump));
const result: SenderResult = {
  ...{ values: (durable - 1) * metricsPerStep, seconds: elapsedS(), lastSeq: durable },
  ...{ ackP50Ms: quantile(ackMs, 0.5), ackP99Ms: quantile(ackMs, 0.99) },
};
await send([{ type: 'run_finished', seq: ++seq, step: seq, wallTimeMs: Date.now() }]);
socket.close();
console.log(JSON.stringify(result));

async function pump(): Promise<void> {
  const { seconds, maxValues = Infinity } = options;
  while (elapsedS() < seconds && seq * metricsPerStep < maxValues) {
    await send(Array.from({ length: stepsPerBatch }, nextStep));
    if (valuesPerS !== null) {
      const aheadS = ((seq - 1) * metricsPerStep) / valuesPerS - elapsedS();
      if (aheadS > 0) await sleep(aheadS * 1000);
    }
  }
}

function nextStep(): WireEvent {
  const wallTimeMs = performance.timeOrigin + performance.now();
  const values = numbers.map(() => Math.random());
  return { type: 'step_completed', seq: ++seq, step: seq, stage: 0, wallTimeMs, series: numbers, values };
}

async function send(events: WireEvent[]): Promise<void> {
  const emittedMs = performance.now();
  const answer = await socket.emitWithAck('events', { events });
  ackMs.push(performance.now() - emittedMs);
  if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  durable = Math.max(durable, answer.lastSeq);
}
