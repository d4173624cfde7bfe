'use client';
import type { ParameterInfo } from '@plumbline/shared/parameter';
import { amountWords, previewPattern } from './freeze-map';

/** Chooses by name: shows, while typing, which parameters would train. */
export function PatternField({
  parameters,
  off,
  pattern,
  onChange,
}: {
  parameters: readonly ParameterInfo[];
  off: string;
  pattern: string;
  onChange: (pattern: string) => void;
}): React.ReactNode {
  const preview = previewPattern(pattern, parameters);
  return (
    <div className="pattern">
      <label className="visually-hidden" htmlFor="pattern">
        Train parameters by name
      </label>
      <input
        id="pattern"
        className="field-input mono"
        value={pattern}
        placeholder="by name: language_model.layers.*.mlp.up_proj.*"
        spellCheck={false}
        autoComplete="off"
        disabled={off !== ''}
        title={off}
        aria-invalid={pattern !== '' && !preview.ok}
        aria-describedby="pattern-preview"
        onChange={(event) => onChange(event.target.value)}
        data-testid="pattern"
      />
      {pattern !== '' && (
        <div id="pattern-preview" className="pattern-preview" data-ok={preview.ok} data-testid="pattern-preview">
          {preview.ok ? (
            <details>
              <summary>{amountWords({ tensors: preview.names.length, size: preview.size })}</summary>
              <ul className="mono">
                {preview.names.map((name) => (
                  <li key={name}>{name}</li>
                ))}
              </ul>
            </details>
          ) : (
            preview.reason
          )}
        </div>
      )}
    </div>
  );
}
