'use client';
import { useRef, useState, type FormEvent } from 'react';
import { metrics } from '@plumbline/shared/metric';
import { LearningRate } from '@plumbline/shared/run';
import { formatLearningRate } from '../../charts/format';
import { useRun } from '../live/use-run';
import { CheckpointMenu } from './CheckpointMenu';
import { Outcome } from './Outcome';
import { useCommand, useControlsOff } from './use-command';

/** Everything that can be done to a run but for choosing what it trains. */
export function ControlBar(): React.ReactNode {
  const { store } = useRun();
  const off = useControlsOff();
  const run = useCommand();
  const evaluate = useCommand();
  const save = useCommand();
  const paused = store.runSummary?.state === 'paused';
  return (
    <section className="control-bar" aria-label="Control">
      <div className="control-group">
        {paused ? (
          <button
            type="button"
            className="button primary"
            disabled={off !== '' || run.isPending}
            title={off}
            onClick={() => run.give({ kind: 'resume' })}
            data-testid="control-resume"
          >
            <svg viewBox="0 0 12 12" aria-hidden>
              <path d="M2.5 1v10l8-5z" />
            </svg>
            Resume
          </button>
        ) : (
          <button
            type="button"
            className="button"
            disabled={off !== '' || run.isPending}
            title={off}
            onClick={() => run.give({ kind: 'pause' })}
            data-testid="control-pause"
          >
            <svg viewBox="0 0 12 12" aria-hidden>
              <path d="M2.5 1.5h2.5v9H2.5zM7 1.5h2.5v9H7z" />
            </svg>
            Pause
          </button>
        )}
        <button
          type="button"
          className="button"
          disabled={off !== '' || !paused || run.isPending}
          title={off || (paused ? 'One optimizer step, then paused again' : 'Pause first')}
          onClick={() => run.give({ kind: 'step_once' })}
          data-testid="control-step"
        >
          Step once
        </button>
        <StopButton off={off} pending={run.isPending} onStop={() => run.give({ kind: 'stop' })} />
        <Outcome record={run.record} testId="outcome-run" />
      </div>
      <LearningRateField off={off} />
      <div className="control-group">
        <button
          type="button"
          className="button"
          disabled={off !== '' || evaluate.isPending}
          title={off || 'Run all probes between two steps'}
          onClick={() => evaluate.give({ kind: 'evaluate_now' })}
          data-testid="control-evaluate"
        >
          Evaluate now
        </button>
        <Outcome record={evaluate.record} testId="outcome-evaluate" />
      </div>
      <div className="control-group">
        <button
          type="button"
          className="button"
          disabled={off !== '' || save.isPending}
          title={off}
          onClick={() => save.give({ kind: 'save_checkpoint' })}
          data-testid="control-save"
        >
          Save checkpoint
        </button>
        <Outcome record={save.record} testId="outcome-save" />
        <CheckpointMenu />
      </div>
      {off && (
        <p className="control-off" data-testid="controls-off">
          {off}
        </p>
      )}
    </section>
  );
}

function StopButton({ off, pending, onStop }: { off: string; pending: boolean; onStop: () => void }): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button
        type="button"
        className="button danger"
        disabled={off !== '' || pending}
        title={off}
        onClick={() => dialog.current?.showModal()}
        data-testid="control-stop"
      >
        <svg viewBox="0 0 12 12" aria-hidden>
          <path d="M2 2h8v8H2z" />
        </svg>
        Stop
      </button>
      <dialog ref={dialog} className="sheet narrow" aria-labelledby="stop-title">
        <header className="sheet-head">
          <h2 id="stop-title">Stop this run?</h2>
          <p>It saves a checkpoint and ends. It cannot be resumed, but a checkpoint can be continued as a branch.</p>
        </header>
        <footer className="sheet-foot">
          <span className="push" />
          <button type="button" className="button" autoFocus onClick={() => dialog.current?.close()}>
            Keep running
          </button>
          <button
            type="button"
            className="button danger primary"
            onClick={() => {
              dialog.current?.close();
              onStop();
            }}
            data-testid="control-stop-confirm"
          >
            Stop run
          </button>
        </footer>
      </dialog>
    </>
  );
}

function LearningRateField({ off }: { off: string }): React.ReactNode {
  const { store } = useRun();
  const { give, record, isPending } = useCommand();
  const [text, setText] = useState('');
  const [problem, setProblem] = useState('');
  const now = store.series.get(metrics.learningRate)?.lastValue;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const parsed = LearningRate.safeParse(text.trim() === '' ? undefined : Number(text));
    if (!parsed.success) {
      setProblem(
        text.trim() !== '' && Number.isNaN(Number(text))
          ? `“${text}” is not a number: write it like 1e-4`
          : parsed.error.issues[0]!.message,
      );
      return;
    }
    setProblem('');
    give({ kind: 'set_learning_rate', learningRate: parsed.data });
    setText('');
  };
  return (
    <form className="control-group" onSubmit={submit} noValidate>
      <label className="control-label" htmlFor="learning-rate">
        Learning rate
      </label>
      <input
        id="learning-rate"
        className="field-input rate-input"
        value={text}
        placeholder={now === undefined ? '–' : formatLearningRate(now)}
        inputMode="decimal"
        autoComplete="off"
        disabled={off !== ''}
        aria-invalid={problem !== ''}
        aria-describedby="learning-rate-problem"
        onChange={(event) => {
          setText(event.target.value);
          setProblem('');
        }}
        data-testid="learning-rate"
      />
      <button
        type="submit"
        className="button"
        disabled={off !== '' || text === '' || isPending}
        title={off}
        data-testid="learning-rate-set"
      >
        Set
      </button>
      {problem ? (
        <span
          className="outcome"
          data-state="failed"
          id="learning-rate-problem"
          role="alert"
          data-testid="learning-rate-problem"
        >
          {problem}
        </span>
      ) : (
        <Outcome record={record} testId="outcome-learning-rate" />
      )}
    </form>
  );
}
