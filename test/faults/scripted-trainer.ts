import { ControlPoint, type Steered } from '@plumbline/server/dist/trainer/control-point.js';
import { HubLink } from '@plumbline/server/dist/trainer/hub-link.js';
import type { GuardRule } from '@plumbline/shared/rule';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent, UnnumberedEvent } from '@plumbline/shared/trainer-event';

/*
 * A trainer's process with made-up numbers, the real hub link and the real control point. It reports every event to the
 * test before emitting it, and every acknowledgement.
 */

/** Its options, as its only argument. */
export interface ScriptedTrainerOptions {
  hubUrl: string;
  token: string;
  runId: string;
  stepMs: number;
  /** Rules of its run. */
  rules?: readonly GuardRule[];
}
/** Its messages to the test, in this order for each event. */
export type ScriptedTrainerSays =
  | { kind: 'emits'; event: TrainerEvent }
  /** `waitedMs`: since the oldest of the newly acknowledged events was emitted. */
  | { kind: 'acknowledged'; seq: number; waitedMs: number }
  | { kind: 'lost'; reason: string };

const { hubUrl, token, runId, stepMs, rules } = JSON.parse(process.argv[2]!) as ScriptedTrainerOptions;
const tell = (message: ScriptedTrainerSays): void => void process.send!(message);
process.on('disconnect', () => process.exit(1));

const link = new HubLink(hubUrl, token, { retryMs: 100 });
let seq = 0;
let step = 0;
let acknowledged = 0;
/** When each event was emitted, in their order. */
const emittedMs: number[] = [];
const emit = (event: UnnumberedEvent): void => {
  tell({ kind: 'emits', event: { ...event, seq: ++seq } as TrainerEvent });
  emittedMs.push(performance.now());
  link.emit(event);
};
const look = (): void => {
  const upTo = (link.unacknowledged[0]?.seq ?? seq + 1) - 1;
  if (upTo === acknowledged) return;
  tell({ kind: 'acknowledged', seq: upTo, waitedMs: performance.now() - emittedMs[acknowledged]! });
  acknowledged = upTo;
};
setInterval(look, 10);

const control = new ControlPoint(emit);
link.onCommand((command) => control.take(command));
process.on('message', (message) => {
  if (message === 'finish') control.requestStop('the test is over');
});
const steered: Steered = {
  get step() {
    return step;
  },
  leaving: false,
  apply: ({ kind }) => Promise.resolve({ before: { kind }, after: { kind } }),
};
/** Some are not finite, as in a diverging run. */
const valueAt = (n: number): number | 'NaN' | 'Infinity' =>
  n % 97 === 0 ? 'NaN' : n % 101 === 0 ? 'Infinity' : Math.sin(n) / 3;

try {
  await link.attach(RunId.parse(runId), describeRun(RunConfig.parse({ name: runId, steps: 1_000_000, rules })), null);
  emit({
    ...{ type: 'run_started', step: 0, wallTimeMs: Date.now(), baseline: {}, trainable: [] },
    trainer: { backend: 'scripted', device: '', host: 'here', processId: process.pid, version: '1' },
    model: { name: 'none', groups: [], parameters: [], recipes: [] },
    selection: { kind: 'recipe', recipe: 'full' },
    // All its series, so that each event has the number that the test hears.
    series: ['train/loss', 'train/gradient_norm', 'held_out/colour/accuracy', 'shift/kl'].map((name, number) => ({
      number,
      name,
    })),
  });
  while ((await control.serve(steered)) === 'train') {
    step++;
    const metrics = {
      'train/loss': valueAt(step),
      'train/gradient_norm': step,
      'held_out/colour/accuracy': step % 100,
    };
    emit({ type: 'step_completed', stage: 0, step, wallTimeMs: Date.now(), metrics });
    if (step % 10 === 0)
      emit({
        type: 'probe_completed',
        stage: 0,
        step,
        wallTimeMs: Date.now(),
        metrics: { 'shift/kl': valueAt(-step) },
      });
    await link.room();
    await new Promise((resolve) => setTimeout(resolve, stepMs));
  }
  emit({ type: 'run_finished', step, wallTimeMs: Date.now() });
  await link.flush();
  look();
} catch (error) {
  tell({ kind: 'lost', reason: error instanceof Error ? error.message : String(error) });
}
link.close();
process.disconnect();
