import { useId } from 'react';

/** A text field with its error message below. */
export function Field({
  name,
  label,
  hint,
  value,
  error,
  placeholder,
  onChange,
}: {
  name: string;
  label: string;
  hint?: string | undefined;
  value: string;
  error: string | undefined;
  placeholder?: string;
  onChange: (value: string) => void;
}): React.ReactNode {
  const id = useId();
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {label} {hint && <span className="dim">{hint}</span>}
      </label>
      <input
        id={id}
        name={name}
        className="field-input"
        value={value}
        placeholder={placeholder}
        autoComplete="off"
        aria-invalid={error !== undefined}
        aria-describedby={error === undefined ? undefined : `${id}-error`}
        onChange={(event) => onChange(event.target.value)}
        data-testid={`new-run-${name}`}
      />
      {error !== undefined && (
        <p className="field-error" id={`${id}-error`} data-testid={`new-run-${name}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}
