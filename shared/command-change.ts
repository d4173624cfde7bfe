import type { CommandRecord, GivenAction } from './command.js';

/** The kinds of commands that set what is trained or the learning rate. */
export const settingKinds = [
  'set_trainable',
  'set_learning_rate',
  'lower_learning_rate',
] as const satisfies readonly GivenAction['kind'][];

/**
 * Whether an applied command changed nothing, judged by `before` and `after` in its record. A command without either counts
 * as a change.
 */
export function changesNothing({ before, after }: Pick<CommandRecord, 'before' | 'after'>): boolean {
  if (after === null) return false;
  // For rules the hub records only the differences, and no `before`.
  if (before === null) return Object.keys(after).length === 0;
  // Early versions and long selections record only a count; different groups may have the same count.
  if (/^\d+ groups$/.test(String(after['selection']))) return false;
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return keys.size > 0 && [...keys].every((key) => JSON.stringify(before[key]) === JSON.stringify(after[key]));
}
