'use client';
import { useState } from 'react';
import type { ModelRecipe } from '@plumbline/shared/parameter';
import { describeAction, describeCondition } from '@plumbline/shared/rule-words';
import type { RuleAction, RuleState } from '@plumbline/shared/rule';
import { hasEnded } from '@plumbline/shared/run';
import { formatStep } from '../../charts/format';
import { lazyDialog } from '../../lib/lazy-dialog';
import { selectionWords } from '../../lib/words';
import { useControlsOff } from '../control/use-command';
import { useRun } from '../live/use-run';
import { seriesOfRun } from './known-series';
import { useRuleStates } from './use-rule-states';
import './rules.css';

const RulesDialog = lazyDialog(async () => (await import('./RulesDialog')).RulesDialog);

/** The rules of the run with their states, and a button to change them; nothing if there are none and can be none. */
export function RuleStrip(): React.ReactNode {
  const { runId, store } = useRun();
  const { states, problem } = useRuleStates(runId);
  const off = useControlsOff();
  const [isEditing, setIsEditing] = useState(false);
  const run = store.runSummary;
  if (!run) return null;
  const isOver = hasEnded(run.state);
  const known = new Set(seriesOfRun(store));
  // Nothing is known of series before the run's history arrives.
  const isRead = store.feedPhase === 'live' || store.feedPhase === 'catching_up';
  const hasValues = (metric: string): boolean => !isRead || known.has(metric);
  if (isOver && !isEditing && !problem && !states?.length) return null;
  return (
    <section className="rule-strip" aria-label="Guard rules" data-testid="rules">
      {states?.map((state) => (
        <RuleCard
          key={state.rule.name}
          state={state}
          isOver={isOver}
          hasValues={hasValues(state.rule.metric)}
          recipes={store.recipes}
        />
      ))}
      {states && !isOver && (
        <button
          type="button"
          className="button small rule-edit"
          disabled={off !== ''}
          title={off}
          onClick={() => setIsEditing(true)}
          data-testid="rules-edit"
        >
          {states.length > 0 ? 'Edit rules …' : '+ Guard rules …'}
        </button>
      )}
      {states && isEditing && (
        <RulesDialog rules={states.map(({ rule }) => rule)} off={off} onClose={() => setIsEditing(false)} />
      )}
      {problem && (
        <p className="notice" data-kind="warn" role="alert">
          Where the rules stand could not be fetched: {problem}
        </p>
      )}
    </section>
  );
}

function RuleCard({
  state,
  isOver,
  hasValues,
  recipes,
}: {
  state: RuleState;
  isOver: boolean;
  /** Whether its series has a value. */
  hasValues: boolean;
  recipes: readonly ModelRecipe[];
}): React.ReactNode {
  const { rule, last } = state;
  const { stands, words } = standing(state, isOver, hasValues);
  const what = `${rule.metric} ${describeCondition(rule.condition)}`;
  const then = rule.actions.map((action) => says(action, recipes)).join(', ');
  return (
    <article className="rule-card" data-state={stands} data-testid={`rule-state-${rule.name}`}>
      <p>
        <b>{rule.name}</b>
        <span className="state" data-state={stands}>
          {words}
        </span>
      </p>
      <p className="rule-says" title={last?.cause ?? `${what} → ${then}`}>
        {what} → {then}
      </p>
    </article>
  );
}

const says = (action: RuleAction, recipes: readonly ModelRecipe[]): string =>
  action.kind === 'set_trainable' ? `train ${selectionWords(action.selection, recipes)}` : describeAction(action);

function standing(
  { armed, firings, last }: RuleState,
  isOver: boolean,
  hasValues: boolean,
): { stands: string; words: string } {
  const times = firings > 1 ? `, ${firings} times` : '';
  if (last && (!armed || isOver)) return { stands: 'fired', words: `fired at step ${formatStep(last.step)}${times}` };
  if (!last && !hasValues) return { stands: 'waiting', words: isOver ? 'never had values' : 'no values yet' };
  if (isOver) return { stands: 'over', words: 'did not fire' };
  if (last) return { stands: 'armed', words: `armed again, fired at step ${formatStep(last.step)}${times}` };
  return armed ? { stands: 'armed', words: 'armed' } : { stands: 'waiting', words: 'armed once its values are back' };
}
