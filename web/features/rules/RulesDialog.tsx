'use client';
import { useEffect, useMemo, useRef, useState, type FormEvent } from 'react';
import type { GuardRule } from '@plumbline/shared/rule';
import { formatStep } from '../../charts/format';
import { focusFirstProblem } from '../../lib/focus-first-problem';
import type { RunStore } from '../../lib/run-store';
import { useCommand } from '../control/use-command';
import { useRun, useSeriesList } from '../live/use-run';
import { RuleEditor } from './RuleEditor';
import { unitsOf } from '@plumbline/shared/known-series';
import { seriesOfRun } from './known-series';
import { rebaseRules } from './rebase-rules';
import { readRules, toRuleForm, type RuleErrors, type RuleForm } from './rule-form';

/**
 * Sets the rules of a run while it runs, and closes once the hub has accepted them. If somebody else changes the rules
 * meanwhile, they are not overwritten: the form can merge them.
 */
export function RulesDialog({
  rules,
  off,
  onClose,
}: {
  /** The rules in force. */
  rules: readonly GuardRule[];
  /** Why commands are off; empty if they are on. */
  off: string;
  onClose: () => void;
}): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const { give, record, isPending } = useCommand();
  const { store } = useRun();
  /** The rules that the form started from. */
  const [before, setBefore] = useState(rules);
  const [forms, setForms] = useState<RuleForm[]>(rules.map(toRuleForm));
  const [errors, setErrors] = useState<RuleErrors[]>([]);
  const isSet = record?.state === 'applied';
  const isOutdated = !isSet && !isPending && asEdited(rules) !== asEdited(before);
  const [taken, setTaken] = useState(record);
  // Messages about the list from before a merge are outdated.
  const reason = record === taken ? '' : (record?.reason ?? '');
  useSeriesList(store.declared.size === 0);
  const names = JSON.stringify(seriesOfRun(store));
  const { declared } = store;
  const series = useMemo(
    () => ({ names: JSON.parse(names) as string[], areAll: false, units: unitsOf(declared.values()) }),
    [names, declared],
  );

  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    if (isSet) dialog.current?.close();
  }, [isSet]);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const read = readRules(forms, series);
    if (read.ok) return give({ kind: 'set_rules', rules: read.rules, replaces: [...before] });
    setErrors(read.errors);
    focusFirstProblem(dialog.current);
  };
  const takeIn = (): void => {
    setForms(rebaseRules(forms, { before: before.map(toRuleForm), now: rules.map(toRuleForm) }));
    setBefore(rules);
    setErrors([]);
    setTaken(record);
    // The pressed button disappears.
    dialog.current?.querySelector('input')?.focus();
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
            series={series}
            recipes={store.recipes}
            onChange={(changed) => {
              setForms(changed);
              setErrors([]);
            }}
          />
        </div>
        <footer className="sheet-foot">
          <p className="push field-error" role="alert" data-testid="rules-problem">
            {off || (isOutdated && `The rules were changed elsewhere meanwhile${changes(store)}.`) || reason}
          </p>
          {isOutdated && (
            <button type="button" className="button" onClick={takeIn} data-testid="rules-take-in">
              Show them
            </button>
          )}
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button
            type="submit"
            className="button primary"
            disabled={off !== '' || isPending || isOutdated}
            title={off || (isOutdated ? 'Review the changes first.' : '')}
            data-testid="rules-set"
          >
            {isPending ? 'Setting …' : 'Set rules'}
          </button>
        </footer>
      </form>
    </dialog>
  );
}

const asEdited = (rules: readonly GuardRule[]): string => JSON.stringify(rules.map(toRuleForm));

/** The last change of the rules in words: ` at step 120 (added Bias drift)`; empty if not known yet. */
function changes({ commandRecords }: RunStore): string {
  const last = [...commandRecords.values()]
    .filter(({ action, state }) => action.kind === 'set_rules' && state === 'applied')
    .sort((a, b) => a.receivedMs - b.receivedMs)
    .at(-1);
  if (!last) return '';
  const words = Object.entries(last.after ?? {}).map(([what, names]) => `${what} ${String(names)}`);
  return ` at step ${formatStep(last.step ?? 0)}${words.length > 0 ? ` (${words.join('; ')})` : ''}`;
}
