import { metrics, unitWords } from '@plumbline/shared/metric';
import { GuardRules, type GuardRule, type RuleAction, type RuleCondition } from '@plumbline/shared/rule';
import { unknownWords, type KnownSeries } from '@plumbline/shared/known-series';

/** The comparison as one choice: a kind of condition with its direction. */
export const comparisons = {
  above: 'is above',
  below: 'is below',
  above_base: 'rises above the base by',
  below_base: 'falls below the base by',
  above_window: 'rises above its recent mean by',
  below_window: 'falls below its recent mean by',
  slope_above: 'slope a step is above',
  slope_below: 'slope a step is below',
  not_finite: 'is NaN or infinite',
} as const;
export type Comparison = keyof typeof comparisons;
export const hasWindow = (comparison: Comparison): boolean => /window|slope/.test(comparison);

/**
 * The unit of a rule's limit and margin: `%`, `pp` for a change in percent, `nats/step` for a slope; empty for a bare number.
 * @param unit of the rule's series
 */
export function limitUnit({ comparison }: Pick<RuleForm, 'comparison'>, unit: string | undefined): string {
  const words = unitWords(unit, !isValue(comparison));
  return comparison.startsWith('slope') ? `${words || '1'}/step` : words;
}
const isValue = (comparison: Comparison): boolean => comparison === 'above' || comparison === 'below';

/** One action as edited; only the fields of its kind are read. */
export interface ActionForm {
  kind: RuleAction['kind'];
  selection: Extract<RuleAction, { kind: 'set_trainable' }>['selection'];
  factor: string;
  metric: string;
  better: 'higher' | 'lower';
  url: string;
}

/** A rule as edited: text as typed. */
export interface RuleForm {
  name: string;
  metric: string;
  comparison: Comparison;
  limit: string;
  window: string;
  consecutive: string;
  rearmMargin: string;
  actions: ActionForm[];
}
/** Messages by field name; actions are `actions.0` and so on. */
export type RuleErrors = Record<string, string>;

export const blankAction: ActionForm = {
  kind: 'pause',
  selection: { kind: 'recipe', recipe: 'sa_proj' },
  factor: '0.5',
  metric: metrics.heldOutMean,
  better: 'higher',
  url: '',
};
const blank: RuleForm = {
  ...{ name: '', metric: metrics.loss, comparison: 'above', limit: '', window: '20', consecutive: '1' },
  ...{ rearmMargin: '0', actions: [blankAction] },
};

/** Presets. */
export const presets: readonly { label: string; rule: RuleForm }[] = [
  {
    label: 'Pause on a held-out drop',
    rule: {
      ...blank,
      ...{ name: 'Held-out drop', metric: metrics.heldOutMean, comparison: 'below_base', limit: '5' },
      ...{ consecutive: '2', rearmMargin: '1' },
    },
  },
  {
    label: 'Train only SA Proj on bias drift',
    rule: {
      ...blank,
      ...{ name: 'Bias drift', metric: metrics.numberTokensHeldOut, comparison: 'above', limit: '0.05' },
      ...{ rearmMargin: '0.01', actions: [{ ...blankAction, kind: 'set_trainable' }] },
    },
  },
  { label: 'Empty rule', rule: blank },
];

/** A copy under a unique name. */
export function named(rule: RuleForm, others: readonly RuleForm[]): RuleForm {
  const stem = rule.name || 'Rule';
  const taken = new Set(others.map(({ name }) => name.trim()));
  let name = stem;
  for (let n = 2; taken.has(name); n++) name = `${stem} ${n}`;
  return { ...rule, name };
}

export function toRuleForm({ name, metric, condition, rearmMargin, actions }: GuardRule): RuleForm {
  const { consecutive } = condition;
  return {
    ...blank,
    ...{ name, metric, comparison: comparisonOf(condition), limit: limitOf(condition) },
    ...('window' in condition && { window: String(condition.window) }),
    ...{ consecutive: String(consecutive), rearmMargin: String(rearmMargin) },
    actions: actions.map((action) => ({
      ...blankAction,
      ...action,
      ...(action.kind === 'lower_learning_rate' && { factor: String(action.factor) }),
    })) as ActionForm[],
  };
}

function comparisonOf(condition: RuleCondition): Comparison {
  switch (condition.kind) {
    case 'threshold':
      return condition.side;
    case 'change_from_base':
      return `${condition.side}_base`;
    case 'change_from_window':
      return `${condition.side}_window`;
    case 'slope':
      return `slope_${condition.side}`;
    case 'not_finite':
      return 'not_finite';
  }
}

function limitOf(condition: RuleCondition): string {
  switch (condition.kind) {
    case 'threshold':
      return String(condition.value);
    case 'slope':
      return String(condition.perStep);
    case 'change_from_base':
    case 'change_from_window':
      return String(condition.by);
    case 'not_finite':
      return '';
  }
}

/**
 * Reads the rules with the same schema as the hub. Errors are reported by rule and field.
 * @param series if given, the only possible series: a rule on another one is an error
 */
export function readRules(
  forms: readonly RuleForm[],
  series: KnownSeries,
): { ok: true; rules: GuardRule[] } | { ok: false; errors: RuleErrors[] } {
  const errors = forms.map((form) => (series.areAll ? unknownSeries(form, series) : {}));
  const parsed = GuardRules.safeParse(forms.map(read));
  if (parsed.success && errors.every((each) => Object.keys(each).length === 0)) return { ok: true, rules: parsed.data };
  for (const { path, message } of parsed.error?.issues ?? []) {
    const [index, ...within] = path;
    const place = within.slice(0, within[0] === 'actions' ? 2 : within[0] === 'condition' ? 2 : 1).join('.');
    const field = fields[place] ?? place;
    const at = typeof index === 'number' ? index : 0;
    errors[at]![field] ??= notANumber(forms[at], field) ?? sentence(message);
  }
  return { ok: false, errors };
}

/** Warnings about unknown series of a rule, by field as in `RuleErrors`. */
export function unknownSeries({ metric, actions }: RuleForm, series: KnownSeries): RuleErrors {
  const named = [
    ['metric', metric],
    ...actions.flatMap((action, at) =>
      action.kind === 'restore_best_checkpoint' ? [[`actions.${at}`, action.metric]] : [],
    ),
  ] as [string, string][];
  return Object.fromEntries(
    named.map(([field, name]) => [field, unknownWords(name, series)]).filter(([, words]) => words !== ''),
  );
}

/** A number, or the typed text if it is not one. */
function notANumber(form: RuleForm | undefined, field: string): string | null {
  const action = form?.actions[Number(/^actions\.(\d+)$/.exec(field)?.[1])];
  const typed = action?.kind === 'lower_learning_rate' ? action.factor : form?.[field as keyof RuleForm];
  const isText = field !== 'name' && field !== 'metric' && typeof typed === 'string' && typed.trim() !== '';
  return isText && !Number.isFinite(Number(typed)) ? `“${typed.trim()}” is not a number.` : null;
}

/** The form's field names for places in the schema. */
const fields: Record<string, string> = {
  'condition.value': 'limit',
  'condition.by': 'limit',
  'condition.perStep': 'limit',
  'condition.window': 'window',
  'condition.consecutive': 'consecutive',
};
const sentence = (message: string): string => `${message[0]!.toUpperCase()}${message.slice(1)}.`;
/** An empty field is a mistake, not a 0. */
const number = (text: string): number | null => (text.trim() === '' ? null : Number(text));

function read(form: RuleForm): unknown {
  return {
    name: form.name,
    metric: form.metric.trim(),
    condition: readCondition(form),
    rearmMargin: number(form.rearmMargin),
    actions: form.actions.map(readAction),
  };
}

function readCondition({ comparison, ...form }: RuleForm): unknown {
  const side = comparison.includes('above') ? 'above' : 'below';
  const [limit, window, consecutive] = [number(form.limit), number(form.window), number(form.consecutive)];
  if (comparison === 'not_finite') return { kind: 'not_finite', consecutive };
  if (comparison.startsWith('slope')) return { kind: 'slope', side, perStep: limit, window, consecutive };
  if (comparison.endsWith('base')) return { kind: 'change_from_base', side, by: limit, consecutive };
  if (comparison.endsWith('window')) return { kind: 'change_from_window', side, by: limit, window, consecutive };
  return { kind: 'threshold', side, value: limit, consecutive };
}

function readAction({ kind, selection, factor, metric, better, url }: ActionForm): unknown {
  switch (kind) {
    case 'set_trainable':
      return { kind, selection };
    case 'lower_learning_rate':
      return { kind, factor: number(factor) };
    case 'restore_best_checkpoint':
      return { kind, metric: metric.trim(), better };
    case 'notify':
      return { kind, url: url.trim() };
    case 'pause':
    case 'save_checkpoint':
      return { kind };
  }
}
