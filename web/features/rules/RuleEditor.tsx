'use client';
import { useId } from 'react';
import { heldOutAccuracy, metrics, targetAccuracy } from '@plumbline/shared/metric';
import { RuleFields } from './RuleFields';
import { named, presets, type RuleErrors, type RuleForm } from './rule-form';
import './rules.css';

/** Names that are offered; a trainer may have others. */
const offered = [
  ...[metrics.loss, metrics.gradientNorm, metrics.heldOutMean, metrics.numberTokensHeldOut, metrics.numberTokensTarget],
  ...[metrics.kl, metrics.js, metrics.entropy, metrics.top1Agreement, metrics.stepDurationMs],
  ...['counting', 'clock'].map(targetAccuracy),
  ...['colour', 'shape', 'position', 'yes_no', 'caption', 'digits', 'easy_vqa'].map(heldOutAccuracy),
];

/** The guard rules of a run, as they are edited. */
export function RuleEditor({
  rules,
  errors,
  onChange,
}: {
  rules: readonly RuleForm[];
  errors: readonly RuleErrors[];
  onChange: (rules: RuleForm[]) => void;
}): React.ReactNode {
  const metricList = useId();
  return (
    <div className="rule-editor">
      <datalist id={metricList}>
        {offered.map((metric) => (
          <option key={metric} value={metric} />
        ))}
      </datalist>
      {rules.map((rule, index) => (
        <RuleFields
          key={index}
          index={index}
          rule={rule}
          errors={errors[index] ?? {}}
          metricList={metricList}
          onChange={(changed) => onChange(rules.map((other, i) => (i === index ? changed : other)))}
          onRemove={() => onChange(rules.filter((_, i) => i !== index))}
        />
      ))}
      <div className="rule-presets">
        {presets.map(({ label, rule }, index) => (
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
