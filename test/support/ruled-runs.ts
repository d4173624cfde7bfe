import type { Command, CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RulesResponse } from '@plumbline/shared/http';
import { GuardRule, type RuleState } from '@plumbline/shared/rule';
import type { RunId, RunParent } from '@plumbline/shared/run';
import type { CheckpointSaved } from '@plumbline/shared/trainer-event';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { ruleCommandId } from '../../server/run/rules/rule-commands.js';
import {
  aRunId,
  attachment,
  columnsOf,
  eventually,
  started,
  stepped,
  testTimeMs,
  type TestHub,
  type TrainerEnd,
} from './test-hub.js';

export const rule = (change: object = {}): GuardRule =>
  GuardRule.parse({
    name: 'high loss',
    metric: 'train/loss',
    condition: { kind: 'threshold', side: 'above', value: 1, consecutive: 2 },
    actions: [{ kind: 'pause' }],
    ...change,
  });
/** Losses from an event number on, each at the step of its number: `run_started` is event 1. */
export const losses = (from: number, ...values: (number | 'NaN')[]): WireEvent[] =>
  values.map((value, i) => stepped(from + i, { 'train/loss': value }));
export const probed = (seq: number, step: number, value: number, metric = 'held_out/mean/accuracy'): WireEvent => ({
  ...{ type: 'probe_completed', seq, step, stage: 0, wallTimeMs: testTimeMs },
  ...columnsOf({ [metric]: value }),
});
export const saved = (seq: number, step: number): CheckpointSaved => ({
  ...{ type: 'checkpoint_saved', seq, step, wallTimeMs: testTimeMs, bytes: 1, digest: 'x' },
  checkpointId: `step-${step}` as never,
});
export const applied = (seq: number, step: number, commandId: CommandId): WireEvent => ({
  ...{ type: 'command_applied', seq, step, wallTimeMs: testTimeMs, commandId, before: {}, after: {} },
});
/** The command id of `rule()` fired at an event number. */
export const firedAt = (runId: RunId, seq: number): CommandId => ruleCommandId(runId, 'high loss', seq, 0);

/** Runs with rules at a hub; the test plays their trainers. */
export function ruledRuns(hub: () => TestHub) {
  async function attach(
    runId: RunId,
    rules: GuardRule[],
    parent: RunParent | null = null,
  ): Promise<{ trainer: TrainerEnd; commands: Command[] }> {
    const trainer = hub().trainer();
    const commands: Command[] = [];
    trainer.on('command', (command, ack) => {
      commands.push(command);
      ack({ ok: true });
    });
    const answer = await trainer.emitWithAck('attach', { ...attachment(runId, { rules }), parent });
    if (!answer.ok) throw new Error(answer.error.message);
    return { trainer, commands };
  }
  async function send(trainer: TrainerEnd, events: WireEvent[]): Promise<void> {
    const answer = await trainer.emitWithAck('events', { events });
    if (!answer.ok) throw new Error(answer.error.message);
  }
  async function running(rules: GuardRule[] = [rule()], parent: RunParent | null = null) {
    const runId = aRunId();
    const { trainer, commands } = await attach(runId, rules, parent);
    await send(trainer, [{ ...started(), step: parent?.step ?? 0 } as WireEvent]);
    return { runId, trainer, commands };
  }
  const log = (runId: RunId): Promise<CommandRecord[]> => hub().hub.runs.store.commands(runId);
  const logged = (runId: RunId, count: number): Promise<CommandRecord[]> =>
    eventually(async () => {
      const records = await log(runId);
      return records.length >= count ? records : null;
    });
  const states = async (runId: RunId): Promise<RuleState[]> => {
    const response = await hub().request('GET', `/runs/${runId}/rules`);
    return ((await response.json()) as RulesResponse).rules;
  };
  /** Waits until the first rule has this state. */
  const stands = (runId: RunId, armed: boolean, firings: number): Promise<RuleState> =>
    eventually(async () => {
      const [state] = await states(runId);
      return state?.armed === armed && state.firings === firings ? state : null;
    });
  return { attach, running, send, log, logged, states, stands };
}
