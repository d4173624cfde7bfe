import { hostname } from 'node:os';
import { io, type Socket } from 'socket.io-client';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { manyMetric, manyRun, type ManyOptions, type ManyResult } from './many-runs.js';
import { quantile } from './quantile.js';

/*
 * The trainers' side of bench:many, in its own process: all send the same number of steps at the same time, with one
 * step in flight each. It reads its options as JSON from the first argument and prints the acknowledged events as JSON.
 */
const { url, token, trainers, series, steps } = JSON.parse(process.argv[2] ?? '') as ManyOptions;
const names = Array.from({ length: series }, (_, index) => manyMetric(index));
const numbers = names.map((_, number) => number);
const ackMs: number[] = [];
const acknowledged: Record<string, number> = {};

const trainer = async (index: number): Promise<void> => {
  const runId = manyRun(index);
  const socket: Socket<HubToTrainer, TrainerToHub> = io(`${url}/trainer`, {
    ...{ auth: { token, protocol: protocolVersion }, transports: ['websocket'], forceNew: true },
  });
  const attached = await socket.emitWithAck('attach', {
    ...{ runId, run: { name: runId }, parent: null },
  });
  if (!attached.ok) throw new Error(attached.error.message);
  const send = async (event: WireEvent): Promise<void> => {
    const emittedMs = performance.now();
    const answer = await socket.emitWithAck('events', { events: [event] });
    if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
    ackMs.push(performance.now() - emittedMs);
    acknowledged[runId] = answer.lastSeq;
  };
  await send({
    ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: Date.now() },
    trainer: { backend: 'bench', device: 'none', host: hostname(), processId: process.pid, version: '1' },
    model: { name: 'none', groups: [], parameters: [], recipes: [] },
    ...{ baseline: {}, selection: { kind: 'recipe', recipe: 'none' }, trainable: [] },
    series: names.map((name, number) => ({ number, name })),
  });
  for (let step = 1; step <= steps; step++) {
    const values = numbers.map(() => Math.random());
    const at = { seq: step + 1, step, stage: 0, wallTimeMs: Date.now() };
    await send({ type: 'step_completed', ...at, series: numbers, values });
  }
  await send({ type: 'run_finished', seq: steps + 2, step: steps, wallTimeMs: Date.now() });
  socket.close();
};
const startMs = performance.now();
await Promise.all(Array.from({ length: trainers }, (_, index) => trainer(index)));
const result: ManyResult = {
  ...{ seconds: (performance.now() - startMs) / 1000, acknowledged },
  ...{ ackP50Ms: quantile(ackMs, 0.5), ackP99Ms: quantile(ackMs, 0.99) },
};
console.log(JSON.stringify(result));
