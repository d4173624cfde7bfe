import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { CommandId } from '@plumbline/shared/command';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';

/*
 * The time from a click to the optimizer and back: a dashboard client gives commands at random moments of a real run
 * and waits for the event that the command was applied, with the step. Also measures the duration of a step.
 */
const { values: flags } = parseArgs({ options: { commands: { type: 'string', default: '60' } } });
const hub = await HubProcess.start();
const client = await HubClient.open(hub);
const runId = await client.startRun({ steps: 100_000, probeEverySteps: 100_000, checkpointEverySteps: 100_000 });
await client.step(runId, 5);

const sentMs = new Map<string, number>();
const tookMs: number[] = [];
client.socket.on('control', ({ event }) => {
  if (event.type !== 'command_applied') return;
  const from = sentMs.get(event.commandId);
  if (from !== undefined) tookMs.push(performance.now() - from);
});
await client.socket.emitWithAck('watch', { runId });
for (let i = 0; i < Number(flags.commands); i++) {
  await new Promise((resolve) => setTimeout(resolve, 250 + Math.random() * 500));
  const commandId = CommandId.parse(randomUUID());
  sentMs.set(commandId, performance.now());
  await client.command(runId, { kind: 'set_learning_rate', learningRate: 1e-5 * (1 + (i % 9)) }, commandId);
}
await client.until('all commands to be applied', () =>
  Promise.resolve(tookMs.length === Number(flags.commands) ? true : undefined),
);
const { series } = await client.history(runId, '&metric=train/step_duration_ms');
client.close();
await hub.remove();

const quantile = (values: number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return Number(sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(1));
};
const stepMs = quantile(series['train/step_duration_ms']!.values.map(Number), 0.5);
const p50Ms = quantile(tookMs, 0.5);
console.log(
  JSON.stringify({
    benchmark: 'command',
    commands: tookMs.length,
    p50Ms,
    p95Ms: quantile(tookMs, 0.95),
    stepMs,
    beyondOneStepMs: Number((p50Ms - stepMs).toFixed(1)),
    ratio: Number((p50Ms / stepMs).toFixed(2)),
  }),
);
process.exit(0);
