import { useId } from 'react';

/** A choice of one card out of several. */
export function Choice({
  legend,
  name,
  value,
  options,
  error,
  onChange,
}: {
  legend: string;
  name: string;
  value: string;
  /** `off` says why a card cannot be chosen; empty if it can. */
  options: { value: string; name: string; says?: string; off?: string }[];
  error?: string | undefined;
  onChange: (value: string) => void;
}): React.ReactNode {
  const errorId = useId();
  return (
    <fieldset
      className="choice"
      role="radiogroup"
      aria-invalid={error !== undefined}
      aria-describedby={error === undefined ? undefined : errorId}
    >
      <legend className="field-label">{legend}</legend>
      {options.map((option) => (
        <label
          key={option.value}
          className="choice-card"
          title={option.off}
          data-testid={`new-run-${name}-${option.value}`}
        >
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={value === option.value}
            disabled={Boolean(option.off) && value !== option.value}
            onChange={() => onChange(option.value)}
          />
          <b>{option.name}</b>
          {option.says && <span>{option.says}</span>}
        </label>
      ))}
      {error !== undefined && (
        <p className="field-error" role="alert" id={errorId} data-testid={`new-run-${name}-error`}>
          {error}
        </p>
      )}
    </fieldset>
  );
}
