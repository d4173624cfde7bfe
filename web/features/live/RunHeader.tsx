'use client';
import Link from 'next/link';
import { metrics } from '@plumbline/shared/metric';
import { hasEnded } from '@plumbline/shared/run';
import { formatCount, formatDuration, formatLearningRate, formatStep } from '../../charts/format';
import { useConnection } from '../../lib/use-hub';
import { recipeWords, stateWords, taskWords } from '../../lib/words';
import { stepsPerSecond } from './pace';
import { useRun } from './use-run';

/** Which run this is, where it stands and how long it still takes. */
export function RunHeader(): React.ReactNode {
  const { store } = useRun();
  const run = store.runSummary;
  if (!run) return null;
  const { config } = run;
  const started = store.latest('run_started');
  const pace = stepsPerSecond(store.buffer(metrics.loss));
  const left = Math.max(0, config.steps - run.lastStep);
  const size = started?.model.parameters.reduce((sum, parameter) => sum + parameter.size, 0);
  return (
    <header className="run-header">
      <div className="run-title">
        <h1 data-testid="run-name">{config.name}</h1>
        <span className="state" data-state={run.state} data-testid="run-state" role="status">
          {stateWords[run.state]}
        </span>
        {!hasEnded(run.state) && <TrainerState />}
        {run.reason && (
          <span className="run-reason" title={run.reason} data-bad={run.state === 'failed'}>
            {run.reason}
          </span>
        )}
      </div>
      <p className="run-facts">
        <span>{taskWords[config.task]}</span>
        <span>{recipeWords[config.recipe].name}</span>
        <span>lr {formatLearningRate(config.learningRate)}</span>
        <span>seed {config.seed}</span>
        {started && (
          <span title={started.trainer.host}>
            {started.model.name}, {formatCount(size ?? 0)} parameters on {started.trainer.backend}
          </span>
        )}
        {run.parent && (
          <span>
            branch of <Link href={`/runs/?run=${run.parent.runId}`}>{run.parent.runId}</Link> at step{' '}
            {formatStep(run.parent.step)}
          </span>
        )}
      </p>
      <div className="run-pace">
        <p>
          <b data-testid="run-step">{formatStep(run.lastStep)}</b> / {formatStep(config.steps)} steps
          {pace !== null && run.state === 'running' && (
            <>
              <span className="pace">{pace >= 10 ? pace.toFixed(0) : pace.toFixed(1)} steps/s</span>
              <span className="pace">{formatDuration((1000 * left) / pace)} left</span>
            </>
          )}
        </p>
        <progress max={config.steps} value={run.lastStep} aria-label="Steps done" />
      </div>
    </header>
  );
}

/** Whether the trainer is there, as far as this page can know. */
function TrainerState(): React.ReactNode {
  const { store } = useRun();
  const connection = useConnection();
  const run = store.runSummary;
  const known = connection.state === 'connected' && run;
  let words = 'Trainer unknown while the hub is away';
  if (known) words = run.trainerConnected ? 'Trainer connected' : 'Trainer not connected';
  if (known && !run.trainerConnected && run.state === 'created') words = 'Waiting for the trainer';
  const state = known ? (run.trainerConnected ? 'connected' : 'down') : 'unknown';
  return (
    <span className="state" data-state={state} data-testid="trainer-connection">
      {words}
    </span>
  );
}
