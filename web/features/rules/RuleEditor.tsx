'use client';
import { useId } from 'react';
import { RuleFields, type OfferedRecipes } from './RuleFields';
import type { KnownSeries } from '@plumbline/shared/known-series';
import { named, presets, unknownSeries, type RuleErrors, type RuleForm } from './rule-form';
import './rules.css';

/** Edits the guard rules of a run. */
export function RuleEditor({
  rules,
  errors,
  series,
  recipes,
  onChange,
}: {
  rules: readonly RuleForm[];
  errors: readonly RuleErrors[];
  /** The series on offer. Others get a warning. */
  series: KnownSeries;
  recipes: OfferedRecipes;
  onChange: (rules: RuleForm[]) => void;
}): React.ReactNode {
  const metricList = useId();
  return (
    <div className="rule-editor">
      <datalist id={metricList}>
        {series.names.map((metric) => (
          <option key={metric} value={metric} />
        ))}
      </datalist>
      {rules.map((rule, index) => (
        <RuleFields
          key={index}
          index={index}
          rule={rule}
          errors={errors[index] ?? {}}
          warnings={unknownSeries(rule, series)}
          metricList={metricList}
          unit={series.units?.get(rule.metric.trim())}
          recipes={recipes}
          onChange={(changed) => onChange(rules.map((other, i) => (i === index ? changed : other)))}
          onRemove={() => onChange(rules.filter((_, i) => i !== index))}
        />
      ))}
      <div className="rule-presets">
        {presets
          .filter(({ rule }) => isOffered(rule, recipes))
          .map(({ label, rule }, index) => (
            <button
              key={label}
              type="button"
              className="button small"
              onClick={() => onChange([...rules, named(rule, rules)])}
              data-testid={`rule-preset-${index}`}
            >
              + {label}
            </button>
          ))}
      </div>
    </div>
  );
}

/** Whether the run's model, if known, has the recipes that a rule trains. */
const isOffered = ({ actions }: RuleForm, recipes: OfferedRecipes): boolean =>
  recipes.length === 0 ||
  actions.every(
    ({ kind, selection }) =>
      kind !== 'set_trainable' || selection.kind !== 'recipe' || recipes.some(({ name }) => name === selection.recipe),
  );
