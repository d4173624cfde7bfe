import type { CommandRecord } from '@plumbline/shared/command';
import { changesNothing } from '@plumbline/shared/command-change';
import { fourDigits } from '@plumbline/shared/metric';
import { describeSelection } from '@plumbline/shared/parameter';
import { ruleOf } from '@plumbline/shared/rule';
import { stageAfter, stageAt, type Stage } from '@plumbline/shared/stage';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { points, type Finding, type MetricSeries } from './finding.js';
import { slope } from './slope.js';

/**
 * Describes each intervention: the slope of held-out accuracy before and after each change of what is trained or of the
 * learning rate, going back to a checkpoint, and pauses by rules. A window before or after a change ends at the next change
 * and at the end of the stage, because another skill moves held-out accuracy by itself.
 *
 * @param heldOut mean held-out accuracy in percent, where it was measured
 * @param commands the run's audit log, which tells the commands of rules
 * @param stages of the run, if it has any
 */
export function interventionFindings(
  heldOut: MetricSeries | undefined,
  events: readonly ControlEvent[],
  commands: readonly CommandRecord[],
  stages: readonly Stage[],
): Finding[] {
  const rules = new Map(commands.map(({ commandId, author }) => [commandId, ruleOf(author)]));
  const byRule = (event: ControlEvent | undefined): string => {
    const rule = event?.type === 'command_applied' ? rules.get(event.commandId) : undefined;
    return rule ? ` by the rule “${rule}”` : '';
  };
  // Changes at one step count as one. Commands that changed nothing do not count.
  const changes = new Map<number, string[]>();
  let trained: readonly string[] | undefined;
  events.forEach((event, index) => {
    const before = trained;
    if (event.type === 'run_started' || event.type === 'trainable_changed') trained = event.trainable;
    const change = changeOf(event, before);
    if (!change) return;
    // A trainer first reports what is trained now, and then that the command was applied.
    const by = byRule(event.type === 'trainable_changed' ? events[index + 1] : event);
    const atStep = changes.get(event.step) ?? [];
    changes.set(event.step, atStep);
    atStep.push(change + by);
  });
  return [
    ...(heldOut ? effects(heldOut, changes, stages) : []),
    ...events.flatMap((event): Finding[] => {
      if (event.type !== 'command_applied' || changesNothing(event)) return [];
      const by = byRule(event);
      const said = (text: string, values: Finding['values'] = {}): Finding[] => [
        { kind: 'intervention', step: event.step, text, values },
      ];
      const { run, step, checkpoint, paused } = event.after;
      if (typeof run === 'string' && typeof step === 'number' && typeof checkpoint === 'string')
        return said(
          `At step ${event.step} training went back to ${checkpoint} and on as ${run}${by}: compare the two runs from step ${step}.`,
          { backTo: step },
        );
      return paused === true && by ? said(`At step ${event.step} training was paused${by}.`) : [];
    }),
  ];
}

function effects(heldOut: MetricSeries, changes: ReadonlyMap<number, string[]>, stages: readonly Stage[]): Finding[] {
  const steps = [...changes.keys()].sort((a, b) => a - b);
  return steps.map((step, index): Finding => {
    const from = Math.max(steps[index - 1] ?? 0, stageAt(stages, step)?.firstStep ?? 0);
    const to = Math.min(steps[index + 1] ?? Infinity, (stageAfter(stages, step)?.lastStep ?? Infinity) + 1);
    const before = slope(heldOut, from, step + 1) * 100;
    const after = slope(heldOut, step, to) * 100;
    const what = `From step ${step} on ${changes.get(step)!.join(' and ')}`;
    const within = stages.length > 1 ? ' within the stage' : '';
    if (!Number.isFinite(before) || !Number.isFinite(after)) {
      const text = `${what}; too few probes lie before or after it${within} to say how held-out accuracy moved.`;
      return { kind: 'intervention', step, text, values: {} };
    }
    const text =
      `${what}: held-out accuracy moved by ${points(before)} per 100 steps before and by ${points(after)} after` +
      `${within && `, both${within}`}.`;
    return { kind: 'intervention', step, text, values: { before, after } };
  });
}

/** Describes one event's change. @param trained names of the parameters trained before this event, if known */
function changeOf(event: ControlEvent, trained: readonly string[] | undefined): string | undefined {
  if (event.type === 'trainable_changed') {
    const { length } = event.trainable;
    const before = trained && new Set(trained);
    if (before?.size === length && event.trainable.every((name) => before.has(name))) return undefined;
    return `${describeSelection(event.selection)} was trained (${length} ${length === 1 ? 'tensor' : 'tensors'})`;
  }
  if (event.type !== 'command_applied' || changesNothing(event)) return undefined;
  const [before, after] = [event.before['learning_rate'], event.after['learning_rate']];
  return typeof before === 'number' && typeof after === 'number'
    ? `the learning rate was ${fourDigits(after)} instead of ${fourDigits(before)}`
    : undefined;
}
