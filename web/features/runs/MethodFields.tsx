'use client';
import { useState } from 'react';
import type { TrainingMethod } from '@plumbline/shared/built-in/method';
import { methodWords } from '../../lib/words';
import { Choice } from './Choice';
import { Field } from './Field';
import { methodFieldError, methodFields, readMethod, toTexts, type MethodKind, type MethodTexts } from './method-form';

/** The choice of a method and the fields of the chosen one; `children` are further fields beside those. */
export function MethodFields({
  method,
  offWords,
  onChange,
  children,
}: {
  method: TrainingMethod;
  /** Why a method cannot be chosen; empty if it can. */
  offWords: (method: TrainingMethod) => string;
  onChange: (method: TrainingMethod) => void;
  children?: React.ReactNode;
}): React.ReactNode {
  const [texts, setTexts] = useState<MethodTexts>(() => toTexts(method));
  const type = (change: Partial<MethodTexts>): void => {
    const now = { ...texts, ...change };
    setTexts(now);
    onChange(readMethod(method.kind, now));
  };
  return (
    <>
      <Choice
        legend="Method: how it is trained"
        name="method"
        value={method.kind}
        onChange={(kind) => onChange(readMethod(kind as MethodKind, texts))}
        options={(Object.keys(methodWords) as MethodKind[]).map((kind) => ({
          value: kind,
          ...methodWords[kind],
          off: offWords(readMethod(kind, texts)),
        }))}
      />
      {methodFields[method.kind].length > 0 && (
        <div className="field-row">
          {methodFields[method.kind].map(({ field, label, hint }) => (
            <Field
              key={field}
              name={`method-${field}`}
              label={label}
              hint={hint}
              value={texts[field]}
              error={methodFieldError(method, field)}
              onChange={(text) => type({ [field]: text })}
            />
          ))}
          {children}
        </div>
      )}
    </>
  );
}
