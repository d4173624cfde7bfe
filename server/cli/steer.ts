import type { Command } from 'commander';
import type { AskedAction } from '@plumbline/shared/command';
import { give, withGiveOptions, type GiveFlags } from './give-command.js';
import { findRun, hubOf } from './hub.js';

/** Commands without further arguments. */
const verbs: Record<string, { action: AskedAction; says: string }> = {
  pause: { action: { kind: 'pause' }, says: 'pause a run' },
  resume: { action: { kind: 'resume' }, says: 'let a paused run go on' },
  step: { action: { kind: 'step_once' }, says: 'take one optimizer step of a paused run' },
  stop: { action: { kind: 'stop' }, says: 'end a run; the built-in trainer saves a checkpoint first' },
  end: {
    action: { kind: 'end_run' },
    says: 'end a run whose trainer never came, or does not stop; what it sends later is not taken',
  },
  checkpoint: { action: { kind: 'save_checkpoint' }, says: 'save a checkpoint, which stays' },
};

/** `plumbline pause`, `resume`, `step`, `stop`, `end` and `checkpoint`. */
export function addSteeringCommands(program: Command, say: (line: string) => void): void {
  for (const [name, { action, says }] of Object.entries(verbs))
    withGiveOptions(
      program.command(name).description(says).argument('<run>', 'id of the run, or the beginning of it'),
    ).action(async (text: string, flags: GiveFlags) => {
      const hub = hubOf(flags);
      const { runId } = await findRun(hub, text);
      const { state, step, after } = await give(hub, runId, action, flags, say);
      if (action.kind !== 'save_checkpoint' || state !== 'applied' || flags.json) return;
      // Trainers need not name the checkpoint in their answer.
      const { events } = await hub.controlEvents(runId);
      const saved = events.findLast((event) => event.type === 'checkpoint_saved' && event.step === step);
      if (saved?.type !== 'checkpoint_saved' || Object.values(after ?? {}).includes(saved.checkpointId)) return;
      say(`The checkpoint is ${saved.checkpointId}.`);
    });
}
