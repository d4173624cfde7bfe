'use client';
import { useEffect, useRef, useState, type RefObject } from 'react';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { trainerTakes } from '@plumbline/shared/taken-commands';
import type { CommandKind } from '@plumbline/shared/command';
import { hasNoTrainerYet, type RunSummary } from '@plumbline/shared/run';
import { OfTotal } from '../runs/OfTotal';
import { formatStep } from '../../charts/format';
import { stateWords } from '../../lib/words';
import { useRun } from '../live/use-run';
import { CheckpointMenu } from './CheckpointMenu';
import { EndRunButton } from './EndRunButton';
import { LearningRateField, rateNow } from './LearningRateField';
import { Outcome } from './Outcome';
import { StopButton } from './StopButton';
import { useCommand, useControlsOff, useStopOverdue } from './use-command';

/** All controls of a run except the choice of what trains, and the outcome of the last command. */
export function ControlBar(): React.ReactNode {
  const { store } = useRun();
  const off = useControlsOff();
  /** Commands that the run's trainer does not take are not offered. */
  const takes = (kind: CommandKind): boolean => trainerTakes(store.runSummary ?? {}, kind);
  const run = useCommand();
  const rate = useCommand();
  const evaluate = useCommand();
  const save = useCommand();
  const restore = useCommand();
  const isOverdue = useStopOverdue();
  const isAwaited = store.runSummary !== null && hasNoTrainerYet(store.runSummary);
  const why = isAwaited
    ? 'The trainer of this run has not connected.'
    : takes('stop')
      ? 'The trainer was told to stop but has not stopped.'
      : 'The trainer of this run takes no stop command.';
  const [rateProblem, setRateProblem] = useState('');
  const [sentinel, isStuck] = useOutOfSight();
  const bar = useRef<HTMLElement>(null);
  useHeightOf(bar, '--control-bar-height');
  const paused = store.runSummary?.state === 'paused';
  const given = [
    { record: run.record, testId: 'outcome-run' },
    { record: rate.record, testId: 'outcome-learning-rate', suffix: rateNow(store, rate.record) },
    { record: evaluate.record, testId: 'outcome-evaluate' },
    { record: save.record, testId: 'outcome-save' },
    { record: restore.record, testId: 'outcome-restore' },
  ];
  const last = given.reduce((newest, each) =>
    (each.record?.receivedMs ?? 0) > (newest.record?.receivedMs ?? 0) ? each : newest,
  );
  return (
    <>
      <i ref={sentinel} className="control-sentinel" aria-hidden />
      <section ref={bar} className="control-bar" data-off={off !== ''} aria-label="Control" id="controls" tabIndex={-1}>
        <div className="control-buttons">
          <div className="control-group">
            {!takes(paused ? 'resume' : 'pause') ? null : paused ? (
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
            {takes('step_once') && (
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
            )}
            {isOverdue || !takes('stop') ? (
              <EndRunButton off={off} why={why} onEnd={() => run.give({ kind: 'end_run' })} />
            ) : (
              <StopButton
                off={off}
                pending={run.isPending}
                isBuiltIn={store.runSummary !== null && builtInConfig(store.runSummary.description) !== null}
                onStop={() => run.give({ kind: 'stop' })}
              />
            )}
          </div>
          {takes('set_learning_rate') && (
            <LearningRateField off={off} command={rate} problem={rateProblem} onProblem={setRateProblem} />
          )}
          <div className="control-group">
            {takes('evaluate_now') && (
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
            )}
            {takes('save_checkpoint') && (
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
            )}
            <CheckpointMenu command={restore} />
          </div>
        </div>
        <div className="control-status">
          <p className="control-said">
            {rateProblem ? (
              <span
                className="outcome"
                data-state="failed"
                id="learning-rate-problem"
                role="alert"
                data-testid="learning-rate-problem"
              >
                {rateProblem}
              </span>
            ) : (
              <Outcome {...last} />
            )}
            {off && (
              <span className="control-off" data-testid="controls-off">
                {off}
              </span>
            )}
          </p>
          {store.runSummary && <RunIdentity run={store.runSummary} isShown={isStuck} />}
        </div>
      </section>
    </>
  );
}

/** Names the run that the controls act on, while its header is scrolled away. */
function RunIdentity({ run, isShown }: { run: RunSummary; isShown: boolean }): React.ReactNode {
  return (
    <p className="control-run" data-shown={isShown} aria-hidden={!isShown}>
      <b>{run.description.name}</b>
      <span className="state" data-state={run.state}>
        {stateWords[run.state]}
      </span>
      <span className="control-step">
        step {formatStep(run.lastStep)} <OfTotal run={run} />
      </span>
    </p>
  );
}

/** Keeps the height of an element in a CSS variable of the page, for what has to stay clear of it. */
function useHeightOf(element: RefObject<HTMLElement | null>, variable: string): void {
  useEffect(() => {
    const { style } = document.documentElement;
    const size = new ResizeObserver(([entry]) => {
      const height = entry?.borderBoxSize[0]?.blockSize;
      if (height !== undefined) style.setProperty(variable, `${height}px`);
    });
    if (element.current) size.observe(element.current);
    return () => {
      size.disconnect();
      style.removeProperty(variable);
    };
  }, [element, variable]);
}

/** Whether a marker has scrolled out of sight at the top. */
function useOutOfSight(): [RefObject<HTMLElement | null>, boolean] {
  const marker = useRef<HTMLElement>(null);
  const [isOut, setIsOut] = useState(false);
  useEffect(() => {
    const sight = new IntersectionObserver(
      (entries) => setIsOut(entries.at(-1)?.isIntersecting === false),
      // The bar at the top of the page covers the marker. Out of sight at the bottom does not count.
      { rootMargin: '-44px 0px 100000px 0px' },
    );
    if (marker.current) sight.observe(marker.current);
    return () => sight.disconnect();
  }, []);
  return [marker, isOut];
}
