'use client';
import { useMemo } from 'react';
import { describeParts } from '@plumbline/shared/selection';
import type { ModelInfo } from '@plumbline/shared/parameter';
import { amountWords, previewPattern } from './freeze-map';

/** The most names in the list: a pattern may hit tens of thousands. */
const mostListed = 200;

/** Chooses by name. While typing, it previews which parameters would train, and of which part. */
export function PatternField({
  model,
  off,
  pattern,
  onChange,
}: {
  model: ModelInfo;
  off: string;
  pattern: string;
  onChange: (pattern: string) => void;
}): React.ReactNode {
  const preview = useMemo(() => previewPattern(pattern, model), [pattern, model]);
  return (
    <div className="pattern">
      <label className="visually-hidden" htmlFor="pattern">
        Train parameters by name
      </label>
      <input
        id="pattern"
        className="field-input mono"
        value={pattern}
        placeholder="by name: *.mlp.up_proj.*"
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
              <summary>
                Hits {describeParts(preview.byPart)}
                <small>{amountWords({ tensors: preview.names.length, size: preview.size })}</small>
              </summary>
              <ul className="mono">
                {preview.names.slice(0, mostListed).map((name) => (
                  <li key={name}>{name}</li>
                ))}
                {preview.names.length > mostListed && <li>and {preview.names.length - mostListed} more</li>}
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
