'use client';
import Link from 'next/link';
import { Fragment } from 'react';
import { wallTimeSeries } from '@plumbline/shared/metric';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import { formatCount, formatDuration, formatStep } from '../../charts/format';
import { compareAddress } from '../../lib/addresses';
import { useConnection } from '../../lib/use-hub';
import { chosenSettings, settingWords, trainingOf } from '../../lib/settings';
import { branchWords, sequenceWords, stateWords } from '../../lib/words';
import { OfTotal } from '../runs/OfTotal';
import { Tags } from '../runs/Tags';
import { stepsPerSecond } from './pace';
import { useCourses, useRun } from './use-run';

const stepTimes = [wallTimeSeries];
const none: readonly string[] = [];

/** The run's name, state, progress and remaining time. */
export function RunHeader({ branches }: { branches: readonly RunSummary[] }): React.ReactNode {
  const { store } = useRun();
  const run = store.runSummary;
  useCourses(run?.state === 'running' ? stepTimes : none);
  if (!run) return null;
  const { description } = run;
  const { totalSteps } = description;
  const config = builtInConfig(description);
  const started = store.latest('run_started');
  const { trains, rate } = trainingOf(store);
  const pace = stepsPerSecond(store.buffer(wallTimeSeries));
  const left = totalSteps === null ? null : Math.max(0, totalSteps - run.lastStep);
  const size = started?.model.parameters.reduce((sum, parameter) => sum + parameter.size, 0);
  const inForce = [trains && settingWords(trains), rate && `lr ${settingWords(rate)}`].filter(
    (setting) => setting !== null,
  );
  return (
    <header className="run-header">
      <div className="run-title">
        <h1 data-testid="run-name">{description.name}</h1>
        <span className="state" data-state={run.state} data-testid="run-state" role="status">
          {stateWords[run.state]}
        </span>
        {!hasEnded(run.state) && <TrainerState />}
        <Tags tags={description.tags} />
        {run.reason && run.state !== 'failed' && (
          <span className="run-reason" title={run.reason}>
            {run.reason}
          </span>
        )}
      </div>
      <p className="run-facts">
        {sequenceWords(description) && <span>{sequenceWords(description)}</span>}
        {inForce.map((setting) => (
          <span key={setting} data-testid="setting-in-force">
            {setting}
          </span>
        ))}
        {config &&
          [`seed ${config.seed}`, ...chosenSettings(config)].map((setting) => <span key={setting}>{setting}</span>)}
        {started && (
          <span title={started.trainer.host}>
            {started.model.name}, {formatCount(size ?? 0)} parameters on {started.trainer.backend}
          </span>
        )}
        {run.parent && (
          <span>
            branch of{' '}
            <Link href={`/runs/?run=${run.parent.runId}`} data-testid="parent-link">
              {store.past?.ancestors[0]?.description.name ?? run.parent.runId}
            </Link>{' '}
            at step {formatStep(run.parent.step)} (
            <Link href={compareAddress([run.runId, run.parent.runId])}>compare</Link>)
          </span>
        )}
        {branches.length > 0 && (
          <span data-testid="branches">
            {branches.length === 1 ? 'branch' : `${branches.length} branches`}:{' '}
            {branches.map((branch, index) => (
              <Fragment key={branch.runId}>
                {index > 0 && ', '}
                <Link href={`/runs/?run=${branch.runId}`} title={branch.runId}>
                  {branchWords(branch)}
                </Link>
              </Fragment>
            ))}{' '}
            (<Link href={compareAddress([run.runId, ...branches.map(({ runId }) => runId)])}>compare</Link>)
          </span>
        )}
      </p>
      <div className="run-pace">
        <p>
          <b data-testid="run-step">{formatStep(run.lastStep)}</b> <OfTotal run={run} /> steps
          {pace !== null && run.state === 'running' && (
            <>
              <span className="pace">{pace >= 10 ? pace.toFixed(0) : pace.toFixed(1)} steps/s</span>
              {left !== null && <span className="pace">{formatDuration((1000 * left) / pace)} left</span>}
            </>
          )}
        </p>
        {totalSteps !== null && <progress max={totalSteps} value={run.lastStep} aria-label="Steps done" />}
      </div>
    </header>
  );
}

/** Whether the trainer is connected, as far as this page knows. */
function TrainerState(): React.ReactNode {
  const { store } = useRun();
  const connection = useConnection();
  const run = store.runSummary;
  const known = connection.state === 'connected' && run;
  let words = 'Trainer unknown while the hub is away';
  if (known) words = run.trainerConnected ? 'Trainer connected' : 'Trainer not connected';
  // A trainer takes a moment to start: until then its absence is no fault.
  const isAwaited = known && !run.trainerConnected && run.state === 'created';
  if (isAwaited) words = 'Waiting for the trainer';
  // It announced this: nothing arrives from it meanwhile.
  const isBusy = known && run.busy !== undefined && run.busy.untilMs > Date.now();
  if (isBusy) words = `Trainer busy: ${run.busy!.why}`;
  const state = !known ? 'unknown' : run.trainerConnected ? 'connected' : isAwaited || isBusy ? 'awaited' : 'down';
  return (
    <span className="state" data-state={state} data-testid="trainer-connection">
      {words}
    </span>
  );
}
