'use client';
import { useEffect, useRef, useState, type FormEvent } from 'react';
import type { GuardRule } from '@plumbline/shared/rule';
import { focusFirstProblem } from '../../lib/focus-first-problem';
import { useCommand } from '../control/use-command';
import { RuleEditor } from './RuleEditor';
import { readRules, toRuleForm, type RuleErrors, type RuleForm } from './rule-form';

/** Sets the rules of a run in mid-run; closes once the hub has. */
export function RulesDialog({
  rules,
  off,
  onClose,
}: {
  /** As they are at present; the form starts with those there were when it opened. */
  rules: readonly GuardRule[];
  /** Why commands are off; empty where they are on. */
  off: string;
  onClose: () => void;
}): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const { give, record, isPending } = useCommand();
  const [before] = useState(rules);
  const [forms, setForms] = useState<RuleForm[]>(rules.map(toRuleForm));
  const [errors, setErrors] = useState<RuleErrors[]>([]);
  const isSet = record?.state === 'applied';
  const isOutdated = !isSet && JSON.stringify(rules) !== JSON.stringify(before);

  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    if (isSet) dialog.current?.close();
  }, [isSet]);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const read = readRules(forms);
    if (read.ok) return give({ kind: 'set_rules', rules: read.rules });
    setErrors(read.errors);
    focusFirstProblem(dialog.current);
  };
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="rules-title" onClose={onClose}>
      <form onSubmit={submit} noValidate data-testid="rules-form">
        <header className="sheet-head">
          <h2 id="rules-title">Guard rules</h2>
          <p>They watch this run from its next values on. A rule that you leave as it is keeps where it stands.</p>
        </header>
        <div className="sheet-body">
          <RuleEditor
            rules={forms}
            errors={errors}
            onChange={(changed) => {
              setForms(changed);
              setErrors([]);
            }}
          />
        </div>
        <footer className="sheet-foot">
          <p className="push field-error" role="alert" data-testid="rules-problem">
            {off ||
              (record?.reason ?? '') ||
              (isOutdated && 'The rules were changed elsewhere meanwhile; yours replace them.')}
          </p>
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button
            type="submit"
            className="button primary"
            disabled={off !== '' || isPending}
            title={off}
            data-testid="rules-set"
          >
            {isPending ? 'Setting …' : 'Set rules'}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
