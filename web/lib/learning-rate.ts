import { LearningRate } from '@plumbline/shared/run';

/** Says in a sentence why a typed learning rate is wrong; empty if it is valid. */
export function learningRateProblem(typed: string): string {
  if (typed.trim() === '') return 'Give a number.';
  const read = LearningRate.safeParse(Number(typed));
  if (read.success) return '';
  if (Number.isNaN(Number(typed))) return `“${typed}” is not a number. Write it like 5e-4 or 0.0005.`;
  const said = read.error.issues[0]!.message;
  return `${said.charAt(0).toUpperCase()}${said.slice(1)}.`;
}
