import { TrainingMethod } from '@plumbline/shared/built-in/method';

export type MethodKind = TrainingMethod['kind'];
const fields = ['rank', 'alpha', 'weight', 'temperature', 'weights', 'experts'] as const;
export type MethodField = (typeof fields)[number];
/** The typed values of all methods' fields, so that nothing is lost when another method is chosen. */
export type MethodTexts = Record<MethodField, string>;

/** The fields of each method. */
export const methodFields: Record<MethodKind, readonly { field: MethodField; label: string; hint?: string }[]> = {
  fine_tuning: [],
  lora: [
    { field: 'rank', label: 'Rank' },
    { field: 'alpha', label: 'Alpha', hint: 'scaled by alpha / rank' },
  ],
  lwf: [
    { field: 'weight', label: 'Distillation weight' },
    { field: 'temperature', label: 'Temperature' },
  ],
  wise_ft: [{ field: 'weights', label: 'Weights', hint: '0 base, 1 trained' }],
  mixture_of_experts: [{ field: 'experts', label: 'Experts', hint: 'beside the base’s' }],
};

/** The method's own values, and the defaults of all others. */
export function toTexts(method: TrainingMethod): MethodTexts {
  const defaults = (Object.keys(methodFields) as MethodKind[]).map((kind) => TrainingMethod.parse({ kind }));
  const values: Record<string, unknown> = Object.assign({}, ...defaults, method);
  const text = (value: unknown): string => (Array.isArray(value) ? value.join(' ') : String(value));
  return Object.fromEntries(fields.map((field) => [field, text(values[field])])) as MethodTexts;
}

/** The method as typed. Text that is not a number becomes NaN, which the schema refuses. */
export function readMethod(kind: MethodKind, texts: MethodTexts): TrainingMethod {
  const number = (text: string): number => (text.trim() === '' ? NaN : Number(text));
  const values = methodFields[kind].map(({ field }) => [
    field,
    field === 'weights'
      ? texts[field]
          .split(/[\s,;]+/)
          .filter(Boolean)
          .map(number)
      : number(texts[field]),
  ]);
  return { kind, ...Object.fromEntries(values) } as TrainingMethod;
}

/** Why one field is wrong, in words; undefined if it is valid. */
export function methodFieldError(method: TrainingMethod, field: MethodField): string | undefined {
  const issue = TrainingMethod.safeParse(method).error?.issues.find(({ path }) => path[0] === field);
  if (!issue) return undefined;
  if (field === 'weights') return 'Up to 11 numbers from 0 to 1, e.g. 0.25 0.5 0.75.';
  if (issue.code === 'too_small')
    return issue.inclusive ? `At least ${issue.minimum}.` : `Must be above ${issue.minimum}.`;
  if (issue.code === 'too_big') return `At most ${issue.maximum}.`;
  const value = (method as Partial<Record<MethodField, unknown>>)[field];
  return Number.isNaN(value) ? 'Give a number.' : 'Must be a whole number.';
}
