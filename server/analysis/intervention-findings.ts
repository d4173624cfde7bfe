import { changesNothing } from '@plumbline/shared/command-change';
import { fourDigits, measuredWords } from '@plumbline/shared/metric';
import { ruleOf } from '@plumbline/shared/rule';
import { stageAfter, stageAt, type Stage } from '@plumbline/shared/stage';
import type { FollowedSeries } from './declared-series.js';
import { points, type Finding, type MetricSeries } from './finding.js';
import type { CommandFacts, RunChange } from './run-change.js';
import { slope } from './slope.js';

/** A series that shows what followed an intervention, with its course. */
type Followed = FollowedSeries & { course: MetricSeries };

/**
 * Describes each intervention: the slopes of the followed series before and after each change of what is trained or of the
 * learning rate, going back to a checkpoint, and pauses by rules. A window before or after a change ends at the next change
 * and at the end of the stage, because another skill moves held-out accuracy by itself.
 *
 * @param followed the series to judge the changes by; without any, the changes are still listed
 * @param commands of the audit log: those of rules, and those that set what is trained or the learning rate
 * @param stages of the run, if it has any
 */
export function interventionFindings(
  followed: readonly Followed[],
  events: readonly RunChange[],
  commands: readonly CommandFacts[],
  stages: readonly Stage[],
): Finding[] {
  const records = new Map(commands.map((record) => [record.commandId, record]));
  const recordOf = (event: RunChange | undefined): CommandFacts | undefined =>
    event?.type === 'command_applied' ? records.get(event.commandId) : undefined;
  const byRule = (event: RunChange | undefined): string => {
    const record = recordOf(event);
    const rule = record && ruleOf(record.author);
    return rule ? ` by the rule “${rule}”` : '';
  };
  // Changes at one step count as one. Commands that changed nothing do not count.
  const changes = new Map<number, string[]>();
  const selected = new Set(events.flatMap(({ type, step }) => (type === 'trainable_changed' ? step : [])));
  events.forEach((event, index) => {
    // The selection of a trainer that does not send `trainable_changed` is known from the command.
    const change = changeOf(event) ?? commandedChange(event, recordOf(event), selected);
    if (!change) return;
    // The command of a new selection is applied just before or just after its `trainable_changed`.
    const neighbours = [events[index + 1], events[index - 1]];
    const by =
      event.type === 'trainable_changed'
        ? byRule(neighbours.find((near) => near?.step === event.step && isSelection(near, recordOf(near))))
        : byRule(event);
    const atStep = changes.get(event.step) ?? [];
    changes.set(event.step, atStep);
    atStep.push(change + by);
  });
  return [
    ...effects(followed, changes, stages),
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

function effects(
  followed: readonly Followed[],
  changes: ReadonlyMap<number, string[]>,
  stages: readonly Stage[],
): Finding[] {
  const steps = [...changes.keys()].sort((a, b) => a - b);
  return steps.map((step, index): Finding => {
    const from = Math.max(steps[index - 1] ?? 0, stageAt(stages, step)?.firstStep ?? 0);
    const to = Math.min(steps[index + 1] ?? Infinity, (stageAfter(stages, step)?.lastStep ?? Infinity) + 1);
    const what = `From step ${step} on ${changes.get(step)!.join(' and ')}`;
    const within = stages.length > 1 ? ' within the stage' : '';
    if (followed.length === 0) {
      const text = `${what}; the run has no series that shows what followed: a held-out accuracy, or one with \`better\` and \`noiseFloor\`.`;
      return { kind: 'intervention', step, text, values: {} };
    }
    const moved = followed.map(({ label, unit, course }) => {
      const before = slope(course, from, step + 1) * 100;
      const after = slope(course, step, to) * 100;
      const words = (value: number): string => (unit === '%' ? points(value) : measuredWords(value, unit, true));
      return {
        label,
        before,
        after,
        text: `${label} moved by ${words(before)} per 100 steps before and by ${words(after)} after`,
      };
    });
    const judged = moved.filter(({ before, after }) => Number.isFinite(before) && Number.isFinite(after));
    const [first] = judged;
    if (!first) {
      const labels = moved.map(({ label }) => label).join(', ');
      const text = `${what}; too few probes lie before or after it${within} to say how ${labels} moved.`;
      return { kind: 'intervention', step, text, values: {} };
    }
    const text = `${what}: ${judged.map((each) => each.text).join('; ')}${within && `, both${within}`}.`;
    return { kind: 'intervention', step, text, values: { before: first.before, after: first.after } };
  });
}

const isSelection = (event: RunChange, record: CommandFacts | undefined): boolean =>
  event.type === 'command_applied' &&
  (record?.kind === 'set_trainable' || 'selection' in event.after || 'trainable' in event.after);

/**
 * The change that a command asked for, where its events do not tell it.
 * @param selected the steps with a `trainable_changed`
 */
function commandedChange(
  event: RunChange,
  record: CommandFacts | undefined,
  selected: ReadonlySet<number>,
): string | undefined {
  if (event.type !== 'command_applied' || !record || changesNothing(event)) return undefined;
  if (record.kind === 'set_trainable' && selected.has(event.step)) return undefined;
  return record.set ?? undefined;
}

/** Describes one event's change. */
function changeOf(event: RunChange): string | undefined {
  if (event.type === 'trainable_changed') {
    const { set, tensors, isRepeat } = event;
    return isRepeat ? undefined : `${set} (${tensors} ${tensors === 1 ? 'tensor' : 'tensors'})`;
  }
  if (event.type !== 'command_applied' || changesNothing(event)) return undefined;
  const [before, after] = [event.before['learning_rate'], event.after['learning_rate']];
  return typeof before === 'number' && typeof after === 'number'
    ? `the learning rate was ${fourDigits(after)} instead of ${fourDigits(before)}`
    : undefined;
}
