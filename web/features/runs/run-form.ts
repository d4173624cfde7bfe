import { RunConfig } from '@plumbline/shared/run';
import { formatLearningRate } from '../../charts/format';

/** What the form holds: text as typed, so that a half-typed number is not changed under the person's hands. Rules have a form of their own. */
type Field = Exclude<keyof RunConfig, 'rules'>;
export type RunForm = { [K in Field]: string };
export type RunFormErrors = Partial<Record<Field, string>>;

const numeric: readonly Field[] = [
  'learningRate',
  'steps',
  'warmupSteps',
  'batchSize',
  'seed',
  'weightDecay',
  'maxGradientNorm',
  'probeEverySteps',
  'checkpointEverySteps',
];
export function toForm({ rules: _, ...config }: RunConfig): RunForm {
  const texts = Object.entries(config).map(([key, value]) => [key, String(value)]);
  return { ...(Object.fromEntries(texts) as RunForm), learningRate: formatLearningRate(config.learningRate, 15) };
}

/** Reads the form with the same schema as the hub; what is wrong is said per field, in words. */
export function readForm(form: RunForm): { ok: true; config: RunConfig } | { ok: false; errors: RunFormErrors } {
  const read: Record<string, unknown> = { ...form };
  for (const key of numeric) read[key] = form[key].trim() === '' ? undefined : Number(form[key]);
  const errors: RunFormErrors = {};
  // The schema has defaults for what is left out; in a form an empty field is a mistake.
  for (const key of numeric) if (read[key] === undefined) errors[key] = 'Give a number.';
  const parsed = RunConfig.safeParse(read);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const key = issue.path[0] as Field;
      errors[key] ??= sayIssue(key, issue, form[key]);
    }
  } else if (parsed.data.warmupSteps > parsed.data.steps) {
    errors.warmupSteps = 'Warm-up is longer than the run.';
  }
  if (Object.keys(errors).length > 0 || !parsed.success) return { ok: false, errors };
  return { ok: true, config: parsed.data };
}

function sayIssue(
  key: Field,
  issue: { code?: string; message: string; minimum?: unknown; maximum?: unknown },
  typed: string,
): string {
  if (key === 'name') return issue.code === 'too_big' ? 'At most 80 characters.' : 'Give the run a name.';
  if (key === 'learningRate') {
    if (issue.code === 'invalid_type') return `“${typed}” is not a number. Write it like 5e-4 or 0.0005.`;
    return issue.code === 'too_big' ? 'At most 1: above that any model is destroyed.' : 'Has to be above 0.';
  }
  if (issue.code === 'invalid_type') {
    return typed.trim() !== '' && Number.isFinite(Number(typed))
      ? 'Has to be a whole number.'
      : `“${typed}” is not a number.`;
  }
  if (issue.code === 'too_small')
    return Number(issue.minimum) === 0 && key === 'maxGradientNorm'
      ? 'Has to be above 0.'
      : `At least ${String(issue.minimum)}.`;
  if (issue.code === 'too_big') return `At most ${Number(issue.maximum).toLocaleString('en-US')}.`;
  return issue.message;
}
