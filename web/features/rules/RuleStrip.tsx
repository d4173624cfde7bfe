'use client';
import {
  describeAction,
  describeCondition,
  type GuardRule,
  type RuleAction,
  type RuleState,
} from '@plumbline/shared/rule';
import { hasEnded } from '@plumbline/shared/run';
import { formatStep } from '../../charts/format';
import { selectionWords } from '../../lib/words';
import { useRun } from '../live/use-run';
import { useRuleStates } from './use-rule-states';
import './rules.css';

/** The rules of the run and where each stands; nothing where there are none. */
export function RuleStrip(): React.ReactNode {
  const { runId, store } = useRun();
  const run = store.runSummary;
  const rules = run?.config.rules ?? [];
  const { states, problem } = useRuleStates(runId, rules.length > 0);
  if (!run || rules.length === 0) return null;
  return (
    <section className="rule-strip" aria-label="Guard rules" data-testid="rules">
      {rules.map((rule) => (
        <RuleCard
          key={rule.name}
          rule={rule}
          state={states.find(({ name }) => name === rule.name)}
          isOver={hasEnded(run.state)}
        />
      ))}
      {problem && (
        <p className="notice" data-kind="warn" role="alert">
          Where the rules stand could not be fetched: {problem}
        </p>
      )}
    </section>
  );
}

function RuleCard({
  rule,
  state,
  isOver,
}: {
  rule: GuardRule;
  state: RuleState | undefined;
  isOver: boolean;
}): React.ReactNode {
  const { stands, words } = standing(state, isOver);
  const what = `${rule.metric} ${describeCondition(rule.condition)}`;
  const then = rule.actions.map(says).join(', ');
  return (
    <article className="rule-card" data-state={stands} data-testid={`rule-state-${rule.name}`}>
      <p>
        <b>{rule.name}</b>
        <span className="state" data-state={stands}>
          {words}
        </span>
      </p>
      <p className="rule-says" title={state?.last?.cause ?? `${what} → ${then}`}>
        {what} → {then}
      </p>
    </article>
  );
}

const says = (action: RuleAction): string =>
  action.kind === 'set_trainable' ? `train ${selectionWords(action.selection)}` : describeAction(action);

function standing(state: RuleState | undefined, isOver: boolean): { stands: string; words: string } {
  if (!state) return { stands: 'unknown', words: '…' };
  const { armed, firings, last } = state;
  const times = firings > 1 ? `, ${firings} times` : '';
  if (last && (!armed || isOver)) return { stands: 'fired', words: `fired at step ${formatStep(last.step)}${times}` };
  if (isOver) return { stands: 'over', words: 'did not fire' };
  if (last) return { stands: 'armed', words: `armed again, fired at step ${formatStep(last.step)}${times}` };
  return armed ? { stands: 'armed', words: 'armed' } : { stands: 'waiting', words: 'armed once its values are back' };
}
