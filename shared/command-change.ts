import type { CommandRecord } from './command.js';

/**
 * Whether a command that was applied left everything as it was, by what its trainer says of before and after. A trainer
 * that says neither has said nothing: the command counts as a change.
 */
export function changesNothing({ before, after }: Pick<CommandRecord, 'before' | 'after'>): boolean {
  if (before === null || after === null) return false;
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return keys.size > 0 && [...keys].every((key) => JSON.stringify(before[key]) === JSON.stringify(after[key]));
}
