import type { CommandRecord } from './command.js';

/**
 * Whether a command that was applied left everything as it was, by what its record says of before and after. A trainer
 * that says neither has said nothing: the command counts as a change.
 */
export function changesNothing({ before, after }: Pick<CommandRecord, 'before' | 'after'>): boolean {
  if (after === null) return false;
  // Of rules the hub says what differs, and nothing of before.
  if (before === null) return Object.keys(after).length === 0;
  // Runs of early versions, and selections too long to be told by name: other groups may be as many.
  if (/^\d+ groups$/.test(String(after['selection']))) return false;
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return keys.size > 0 && [...keys].every((key) => JSON.stringify(before[key]) === JSON.stringify(after[key]));
}
