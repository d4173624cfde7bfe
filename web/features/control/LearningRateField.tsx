'use client';
import { useState, type FormEvent } from 'react';
import type { CommandRecord } from '@plumbline/shared/command';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { metrics } from '@plumbline/shared/metric';
import { formatLearningRate } from '../../charts/format';
import { beginningOf, peakLearningRate } from '../../lib/changes';
import { learningRateProblem } from '../../lib/learning-rate';
import type { RunStore } from '../../lib/run-store';
import { useRun } from '../live/use-run';
import type { CommandControl } from './use-command';

const scheduleWords = {
  cosine: 'The cosine schedule goes down from this rate',
  constant: 'Kept after warm-up',
  unknown: 'The rate that the trainer’s schedule scales',
};

/** Sets the peak that the schedule scales. The empty field shows the current peak. */
export function LearningRateField({
  off,
  command,
  problem,
  onProblem,
}: {
  off: string;
  command: CommandControl;
  /** Why the typed value is wrong, shown in the bar's status. */
  problem: string;
  onProblem: (problem: string) => void;
}): React.ReactNode {
  const { store } = useRun();
  const [text, setText] = useState('');
  const description = store.runSummary?.description;
  const peak = description && peakLearningRate(beginningOf(description), store.changesInForce);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const wrong = learningRateProblem(text);
    onProblem(wrong);
    if (wrong) return;
    command.give({ kind: 'set_learning_rate', learningRate: Number(text) });
    setText('');
  };
  return (
    <form className="control-group" onSubmit={submit} noValidate>
      <label className="control-label" htmlFor="learning-rate">
        Peak learning rate
      </label>
      <input
        id="learning-rate"
        className="field-input rate-input"
        value={text}
        placeholder={peak === undefined ? '–' : formatLearningRate(peak)}
        title={scheduleWords[(description && builtInConfig(description)?.schedule) ?? 'unknown']}
        inputMode="decimal"
        autoComplete="off"
        disabled={off !== ''}
        aria-invalid={problem !== ''}
        aria-describedby="learning-rate-problem"
        onChange={(event) => {
          setText(event.target.value);
          onProblem('');
        }}
        data-testid="learning-rate"
      />
      <button
        type="submit"
        className="button"
        disabled={off !== '' || text === '' || command.isPending}
        title={off}
        data-testid="learning-rate-set"
      >
        Set
      </button>
    </form>
  );
}

/** Says what the new peak means for the current rate. The schedule's share is known with the next step. */
export function rateNow(store: RunStore, record: CommandRecord | undefined): string {
  const rates = store.series.get(metrics.learningRate);
  if (record?.state !== 'applied' || record.step === null || !rates || !store.runSummary) return '';
  const schedule = builtInConfig(store.runSummary.description)?.schedule;
  const by = schedule ? ` (${schedule})` : '';
  const isNew = rates.length > 0 && rates.steps[rates.length - 1]! > record.step;
  return isNew ? `, now ${formatLearningRate(rates.lastValue!)}${by}` : `, used from the next step${by}`;
}
