'use client';
import { useId } from 'react';
import type { ModelRecipe } from '@plumbline/shared/parameter';
import { selectionWords } from '../../lib/words';
import {
  blankAction,
  comparisons,
  hasWindow,
  limitUnit,
  type ActionForm,
  type Comparison,
  type RuleErrors,
  type RuleForm,
} from './rule-form';

const actionNames: Record<ActionForm['kind'], string> = {
  pause: 'Pause',
  set_trainable: 'Train only',
  lower_learning_rate: 'Multiply the learning rate by',
  save_checkpoint: 'Save a checkpoint',
  restore_best_checkpoint: 'Go back to the best checkpoint by',
  notify: 'Notify the webhook',
};

const fieldNames = {
  name: 'Rule',
  metric: 'When',
  limit: 'Limit',
  window: 'Values in the window',
  consecutive: 'Values in a row',
  rearmMargin: 'Rearm when back by',
};

/** What a rule may train: the recipes of the run's model. */
export type OfferedRecipes = readonly Pick<ModelRecipe, 'name' | 'label'>[];

/** A selection of the run's model. A recipe that the model lacks is replaced by its first one. */
const offered = (selection: ActionForm['selection'], recipes: OfferedRecipes): ActionForm['selection'] =>
  selection.kind !== 'recipe' || recipes.length === 0 || recipes.some(({ name }) => name === selection.recipe)
    ? selection
    : { kind: 'recipe', recipe: recipes[0]!.name };

/** Edits one rule. */
export function RuleFields({
  index,
  rule,
  errors,
  warnings,
  metricList,
  unit,
  recipes,
  onChange,
  onRemove,
}: {
  index: number;
  rule: RuleForm;
  errors: RuleErrors;
  /** Remarks on valid fields. */
  warnings: RuleErrors;
  /** Id of the list of metric names to offer. */
  metricList: string;
  /** The unit of its series, if known. */
  unit: string | undefined;
  recipes: OfferedRecipes;
  onChange: (rule: RuleForm) => void;
  onRemove: () => void;
}): React.ReactNode {
  const id = useId();
  const set = (change: Partial<RuleForm>): void => onChange({ ...rule, ...change });
  const setAction = (at: number, change: Partial<ActionForm>): void =>
    set({ actions: rule.actions.map((action, i) => (i === at ? { ...action, ...change } : action)) });
  /** The id of a field's message; undefined without one. */
  const saidId = (key: string): string | undefined => ((errors[key] ?? warnings[key]) ? `${id}-${key}` : undefined);
  /** The messages of a row's fields, below them, with the field's name if there are several. */
  const said = (...keys: string[]) =>
    keys.map((key) => {
      const name = keys.length > 1 ? `${fieldNames[key as keyof typeof fieldNames]}: ` : '';
      const words = errors[key] ?? warnings[key];
      if (!words) return null;
      return (
        <p
          key={key}
          id={saidId(key)}
          className={errors[key] ? 'field-error' : 'field-warning'}
          data-testid={`rule-${index}-${key}-${errors[key] ? 'error' : 'warning'}`}
        >
          {name + words}
        </p>
      );
    });
  const field = (key: keyof typeof fieldNames) => (
    <label className="field" data-field={key}>
      <span className="field-label">
        {fieldNames[key]} {key === 'limit' && <span className="dim">{limitUnit(rule, unit)}</span>}
      </span>
      <input
        className="field-input"
        name={`rule-${index}-${key}`}
        value={rule[key]}
        list={key === 'metric' ? metricList : undefined}
        inputMode={key === 'name' || key === 'metric' ? undefined : 'decimal'}
        autoComplete="off"
        spellCheck={false}
        aria-invalid={errors[key] !== undefined}
        aria-describedby={saidId(key)}
        onChange={(event) => set({ [key]: event.target.value })}
        data-testid={`rule-${index}-${key}`}
      />
    </label>
  );
  return (
    <fieldset className="rule-fields" data-testid={`rule-${index}`}>
      <legend className="visually-hidden">Rule {rule.name || index + 1}</legend>
      <div className="rule-row">
        {field('name')}
        <button type="button" className="button small" onClick={onRemove} data-testid={`rule-${index}-remove`}>
          Remove
        </button>
        {said('name')}
      </div>
      <div className="rule-row">
        {field('metric')}
        <label className="field">
          <span className="field-label">Condition</span>
          <select
            className="field-input"
            value={rule.comparison}
            onChange={(event) => set({ comparison: event.target.value as Comparison })}
            data-testid={`rule-${index}-comparison`}
          >
            {Object.entries(comparisons).map(([comparison, words]) => (
              <option key={comparison} value={comparison}>
                {words}
              </option>
            ))}
          </select>
        </label>
        {said('metric')}
      </div>
      <div className="rule-row">
        {rule.comparison !== 'not_finite' && field('limit')}
        {hasWindow(rule.comparison) && field('window')}
        {field('consecutive')}
        {rule.comparison !== 'not_finite' && field('rearmMargin')}
        {said('limit', 'window', 'consecutive', 'rearmMargin')}
      </div>
      {rule.actions.map((action, at) => (
        <div className="rule-row" key={at}>
          <label className="field">
            <span className="field-label">{at === 0 ? 'Then' : 'And'}</span>
            <select
              className="field-input"
              value={action.kind}
              onChange={(event) =>
                setAction(at, {
                  kind: event.target.value as ActionForm['kind'],
                  selection: offered(action.selection, recipes),
                })
              }
              data-testid={`rule-${index}-action-${at}`}
            >
              {Object.entries(actionNames).map(([kind, words]) => (
                <option key={kind} value={kind}>
                  {words}
                </option>
              ))}
            </select>
          </label>
          <ActionArgument
            action={action}
            isInvalid={errors[`actions.${at}`] !== undefined}
            saidId={saidId(`actions.${at}`)}
            metricList={metricList}
            recipes={recipes}
            onChange={(change) => setAction(at, change)}
          />
          {rule.actions.length > 1 && (
            <button
              type="button"
              className="button small"
              onClick={() => set({ actions: rule.actions.filter((_, i) => i !== at) })}
            >
              Remove
            </button>
          )}
          {at === rule.actions.length - 1 && (
            <button
              type="button"
              className="button small"
              onClick={() => set({ actions: [...rule.actions, { ...blankAction, kind: 'notify' }] })}
            >
              And …
            </button>
          )}
          {said(`actions.${at}`)}
        </div>
      ))}
      {said('actions')}
    </fieldset>
  );
}

/** The parameters of an action, if it has any. */
function ActionArgument({
  action,
  isInvalid,
  saidId,
  metricList,
  recipes,
  onChange,
}: {
  action: ActionForm;
  isInvalid: boolean;
  /** The id of its message. */
  saidId: string | undefined;
  metricList: string;
  recipes: OfferedRecipes;
  onChange: (change: Partial<ActionForm>) => void;
}): React.ReactNode {
  const { selection } = action;
  const input = (key: 'factor' | 'metric' | 'url', label: string, more: React.ComponentProps<'input'> = {}) => (
    <label className="field">
      <span className="field-label">{label}</span>
      <input
        className="field-input"
        value={action[key]}
        autoComplete="off"
        spellCheck={false}
        aria-invalid={isInvalid}
        aria-describedby={saidId}
        onChange={(event) => onChange({ [key]: event.target.value })}
        {...more}
      />
    </label>
  );
  switch (action.kind) {
    case 'set_trainable':
      return (
        <label className="field">
          <span className="field-label">What trains on</span>
          <select
            className="field-input"
            value={selection.kind === 'recipe' ? selection.recipe : ''}
            onChange={(event) => onChange({ selection: { kind: 'recipe', recipe: event.target.value } })}
          >
            {!recipes.some(({ name }) => selection.kind === 'recipe' && selection.recipe === name) && (
              <option value={selection.kind === 'recipe' ? selection.recipe : ''}>{selectionWords(selection)}</option>
            )}
            {recipes.map(({ name, label }) => (
              <option key={name} value={name}>
                {label}
              </option>
            ))}
          </select>
        </label>
      );
    case 'lower_learning_rate':
      return input('factor', 'Factor', { inputMode: 'decimal' });
    case 'restore_best_checkpoint':
      return (
        <>
          {input('metric', 'Metric', { list: metricList })}
          <label className="field">
            <span className="field-label">Best is</span>
            <select
              className="field-input"
              value={action.better}
              onChange={(event) => onChange({ better: event.target.value as ActionForm['better'] })}
            >
              <option value="higher">highest</option>
              <option value="lower">lowest</option>
            </select>
          </label>
        </>
      );
    case 'notify':
      return input('url', 'Address', { inputMode: 'url', placeholder: 'https://' });
    case 'pause':
    case 'save_checkpoint':
      return null;
  }
}
