import type { CommandRecord } from '@plumbline/shared/command';
import { fourDigits } from '@plumbline/shared/metric';
import type { TrainableSelection } from '@plumbline/shared/parameter';
import { describeSelection } from '@plumbline/shared/selection';
import type { ControlEvent } from '@plumbline/shared/trainer-event';

type TrainableChanged = Extract<ControlEvent, { type: 'trainable_changed' }>;

/** A change of what is trained, without the names of the tensors: those of 50,000 take 2.5 MB. */
export interface SelectionChange extends Omit<TrainableChanged, 'selection' | 'trainable'> {
  /** What it set, for sentences: `sa_proj was trained`, `2 groups were trained`. */
  set: string;
  /** How many tensors are trained. */
  tensors: number;
  /** The same tensors were trained before. */
  isRepeat: boolean;
}
/** A control event as findings use it. */
export type RunChange = Exclude<ControlEvent, TrainableChanged> | SelectionChange;

/** Converts the control events of a run, given in order, one by one. Holds the names of the last selection only. */
export function toRunChange(): (event: ControlEvent) => RunChange {
  let trained: readonly string[] | undefined;
  return (event) => {
    if (event.type !== 'run_started' && event.type !== 'trainable_changed') return event;
    const before = trained;
    trained = event.trainable;
    if (event.type === 'run_started') return event;
    const { selection, trainable, ...rest } = event;
    return {
      ...rest,
      set: trainedWords(selection),
      tensors: trainable.length,
      isRepeat: before !== undefined && areSame(before, trainable),
    };
  };
}

/** Whether two lists have the same names, in any order. Lists of equal length are compared name by name first. */
function areSame(before: readonly string[], after: readonly string[]): boolean {
  if (before.length !== after.length) return false;
  if (after.every((name, index) => name === before[index])) return true;
  const names = new Set(before);
  return names.size === after.length && after.every((name) => names.has(name));
}

/** A command of the audit log as findings use it. */
export interface CommandFacts extends Pick<CommandRecord, 'commandId' | 'author'> {
  kind: CommandRecord['action']['kind'];
  /** What it set, for sentences; null for commands that set neither what is trained nor the learning rate. */
  set: string | null;
}

/** Leaves out what may be long, such as the names of 50,000 groups. */
export const commandFacts = ({ commandId, author, action }: CommandRecord): CommandFacts => ({
  ...{ commandId, author, kind: action.kind },
  set: settingWords(action),
});

function trainedWords(selection: TrainableSelection): string {
  const isPlural = selection.kind === 'groups' && selection.groups.length !== 1;
  return `${describeSelection(selection)} ${isPlural ? 'were' : 'was'} trained`;
}

function settingWords(action: CommandRecord['action']): string | null {
  switch (action.kind) {
    case 'set_learning_rate':
      return `the learning rate was ${fourDigits(action.learningRate)}`;
    case 'lower_learning_rate':
      return `the learning rate was multiplied by ${fourDigits(action.factor)}`;
    case 'set_trainable':
      return trainedWords(action.selection);
    default:
      return null;
  }
}
