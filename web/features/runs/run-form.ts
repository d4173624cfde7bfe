import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { formatLearningRate } from '../../charts/format';
import { learningRateProblem } from '../../lib/learning-rate';

/** The fields that are choices; the others are text. */
const whole = ['tasks', 'method', 'keepCheckpointsAt'] as const;
type Whole = (typeof whole)[number];
/** Rules have their own form. */
export type Asked = Exclude<keyof RunConfig, Whole | 'rules'>;
/** The state of the form: text as typed, so that a half-typed number does not change while typing. */
export type RunForm = { [K in Asked]: string } & Pick<RunConfig, Whole>;
export type RunFormErrors = Partial<Record<Asked | Whole, string>>;

const numeric: readonly Asked[] = [
  'learningRate',
  'steps',
  'warmupSteps',
  'batchSize',
  'seed',
  'weightDecay',
  'maxGradientNorm',
  'probeEverySteps',
  'checkpointEverySteps',
  'evaluationQuestions',
  'evaluationSeed',
];
export function toForm({ rules: _, ...config }: RunConfig): RunForm {
  const { tasks, method, keepCheckpointsAt, ...asked } = config;
  const texts = Object.entries(asked).map(([key, value]) => [key, String(value)]);
  return {
    ...(Object.fromEntries(texts) as { [K in Asked]: string }),
    tasks,
    method,
    keepCheckpointsAt,
    learningRate: formatLearningRate(config.learningRate, 15),
  };
}

const isAsked = (key: Asked | Whole): key is Asked => !(whole as readonly string[]).includes(key);

/** Reads the form with the same schema as the hub. Errors are reported by field, in words. */
export function readForm(form: RunForm): { ok: true; config: RunConfig } | { ok: false; errors: RunFormErrors } {
  const read: Record<string, unknown> = { ...form };
  for (const key of numeric) read[key] = form[key].trim() === '' ? undefined : Number(form[key]);
  const errors: RunFormErrors = {};
  // The schema has defaults for missing values, but an empty field in a form is a mistake.
  for (const key of numeric) if (read[key] === undefined) errors[key] = 'Give a number.';
  const parsed = RunConfig.safeParse(read);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const key = issue.path[0] as Asked | Whole;
      if (key === 'tasks') errors.tasks ??= 'Choose at least one task.';
      else errors[key] ??= isAsked(key) ? sayIssue(key, issue, form[key]) : issue.message;
    }
  } else if (parsed.data.warmupSteps > parsed.data.steps) {
    errors.warmupSteps = 'Warm-up is longer than a task’s steps.';
  }
  if (Object.keys(errors).length > 0 || !parsed.success) return { ok: false, errors };
  return { ok: true, config: parsed.data };
}

function sayIssue(
  key: Asked,
  issue: { code?: string; message: string; minimum?: unknown; maximum?: unknown },
  typed: string,
): string {
  if (key === 'name') return issue.code === 'too_big' ? 'At most 80 characters.' : 'Enter a name.';
  if (key === 'learningRate') return learningRateProblem(typed);
  if (issue.code === 'invalid_type') {
    return typed.trim() !== '' && Number.isFinite(Number(typed))
      ? 'Must be a whole number.'
      : `“${typed}” is not a number.`;
  }
  if (issue.code === 'too_small')
    return Number(issue.minimum) === 0 && key === 'maxGradientNorm'
      ? 'Must be above 0.'
      : `At least ${String(issue.minimum)}.`;
  if (issue.code === 'too_big') return `At most ${Number(issue.maximum).toLocaleString('en-US')}.`;
  return issue.message;
}
