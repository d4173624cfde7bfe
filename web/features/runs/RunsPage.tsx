'use client';
import Link from 'next/link';
import { Fragment, useState } from 'react';
import { goneWords } from '@plumbline/shared/deletion';
import { isMeasured } from '@plumbline/shared/metric';
import type { DeletedRun } from '@plumbline/shared/http';
import { builtInConfig } from '@plumbline/shared/built-in/run-config';
import { targetNames, taskLabel } from '@plumbline/shared/run-description';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import { formatStep, formatValue, formatWhen, type Unit } from '../../charts/format';
import type { ChartColor } from '../../charts/palette';
import { Sparkline } from '../../charts/Sparkline';
import type { SeriesBuffer } from '../../lib/series-buffer';
import { useReadOnlyReason, useSession } from '../../lib/use-hub';
import { chosenSettings, settingWords, trainingWords } from '../../lib/settings';
import { sequenceWords, stateWords } from '../../lib/words';
import { OfTotal } from './OfTotal';
import { Tags } from './Tags';
import { tagsOf, TagFilter } from './TagFilter';
import { DeleteRunsDialog } from './DeleteRunsDialog';
import { NewRunDialog } from './NewRunDialog';
import { orderRuns, type RunRowModel } from './run-tree';
import { TickedBar } from './TickedBar';
import { useRunNumbers, useRuns, useTakenOver, type RunNumbers } from './use-runs';
import './runs.css';

/** All runs with their state and latest key numbers, and the way to a new one. */
export function RunsPage(): React.ReactNode {
  const { runs, error } = useRuns();
  const session = useSession();
  const readOnlyReason = useReadOnlyReason();
  const [opening, setOpening] = useState(false);
  const [allTicked, setTicked] = useState<readonly RunId[]>([]);
  const ticked = allTicked.filter((id) => runs?.some(({ runId }) => runId === id));
  const [deleting, setDeleting] = useState(false);
  const [deleted, setDeleted] = useState<readonly DeletedRun[]>([]);
  const newRun = (
    <button
      type="button"
      className="button primary"
      disabled={readOnlyReason !== ''}
      title={readOnlyReason}
      onClick={() => setOpening(true)}
      data-testid="new-run"
    >
      New run
    </button>
  );
  const tick = (runId: RunId): void => {
    setDeleted([]);
    setTicked((now) => (now.includes(runId) ? now.filter((other) => other !== runId) : [...now, runId]));
  };
  const [tag, setTag] = useState<string | null>(null);
  const tags = tagsOf(runs ?? []);
  const isOn = tag !== null && tags.includes(tag);
  const listed = (runs ?? []).filter(({ description }) => !isOn || description.tags.includes(tag));
  const going = runs?.filter((run) => !hasEnded(run.state)).length ?? 0;
  return (
    <main className="runs-page" id="controls" tabIndex={-1}>
      <header className="runs-head">
        <h1>Runs</h1>
        {runs && runs.length > 0 && (
          <p className="dim">
            {runs.length} in all, {going} under way; newest activity first, branches below their run
          </p>
        )}
        <span className="push" />
        {newRun}
      </header>
      {session.state === 'open' && !session.mayControl && !session.problem && (
        <p className="notice" data-testid="read-only-notice">
          {readOnlyReason}
        </p>
      )}
      {session.state === 'open' && session.problem && (
        <p className="notice" data-kind="warn" role="alert">
          {session.problem}
        </p>
      )}
      {error && (
        <p className="notice" data-kind="bad" role="alert">
          {error}
        </p>
      )}
      {deleted.length > 0 && (
        <p className="notice" role="status" data-testid="deleted-notice">
          {deletedWords(deleted)}
        </p>
      )}
      {!runs && !error && (
        <div className="blank" role="status">
          <i className="loading-bar" />
          Loading runs …
        </div>
      )}
      {runs?.length === 0 && (
        <div className="blank">
          <h2>No runs yet</h2>
          <p>Start one to watch the base model learn a skill, and see what it costs.</p>
          {!readOnlyReason && newRun}
        </div>
      )}
      <TagFilter tags={tags} chosen={isOn ? tag : null} onChoose={setTag} />
      {runs && runs.length > 0 && (
        <ul className="panel runs-table" aria-label="Runs, newest activity first, branches below their run">
          <li className="run-row runs-columns" aria-hidden>
            <span>Run</span>
            <span>State</span>
            <span>Progress</span>
            <span>Loss</span>
            <span>Target accuracy</span>
            <span>Held-out accuracy</span>
            <span>Number-token bias</span>
          </li>
          {orderRuns(listed).map((row) => (
            <li key={row.run.runId} className="run-line">
              <label className="run-tick" title="Tick to compare or delete">
                <input
                  type="checkbox"
                  aria-label={`Tick ${row.run.description.name} (${row.run.runId})`}
                  checked={ticked.includes(row.run.runId)}
                  onChange={() => tick(row.run.runId)}
                  data-testid={`tick-${row.run.runId}`}
                />
              </label>
              <RunRow {...row} runs={runs} />
            </li>
          ))}
        </ul>
      )}
      {ticked.length > 0 && (
        <TickedBar
          ticked={ticked}
          deleteOff={readOnlyReason}
          onClear={() => setTicked([])}
          onDelete={() => setDeleting(true)}
        />
      )}
      {deleting && (
        <DeleteRunsDialog
          chosen={runs?.filter(({ runId }) => ticked.includes(runId)) ?? []}
          runs={runs ?? []}
          off={readOnlyReason}
          onClose={(gone) => {
            setDeleting(false);
            setDeleted(gone);
          }}
        />
      )}
      {opening && <NewRunDialog onClose={() => setOpening(false)} />}
    </main>
  );
}

/** What went: `Deleted 2 runs: 6,120 events, 12.4 MB of checkpoints and logs.` */
function deletedWords(deleted: readonly DeletedRun[]): string {
  const sum = (of: (one: DeletedRun) => number): number => deleted.reduce((total, one) => total + of(one), 0);
  const what = deleted.length === 1 ? deleted[0]!.runId : `${deleted.length} runs`;
  return `Deleted ${what}: ${goneWords({ events: sum(({ events }) => events), bytes: sum(({ bytes }) => bytes) })}.`;
}

function RunRow({ run, parent, depth, runs }: RunRowModel & { runs: readonly RunSummary[] }): React.ReactNode {
  const numbers = useRunNumbers(run);
  const { description } = run;
  const { totalSteps } = description;
  const config = builtInConfig(description);
  const training = trainingWords(config ?? {}, useTakenOver(run, runs), numbers?.commands ?? []);
  const facts = [
    sequenceWords(description),
    training.trains && settingWords(training.trains),
    training.rate && `lr ${settingWords(training.rate)}`,
    ...(config
      ? [`seed ${config.seed}`, ...chosenSettings(config, ['method', 'warmupSteps', 'weightDecay', 'batchSize'])]
      : []),
  ].filter((fact) => fact !== null && fact !== '');
  return (
    <Link href={`/runs/?run=${run.runId}`} className="run-row" data-testid={`run-${run.runId}`}>
      <span className="run-name" style={{ paddingLeft: depth * 18 }}>
        <b>
          {depth > 0 && (
            <svg className="branch-sign" viewBox="0 0 12 12" aria-hidden>
              <path d="M2 0v6a3 3 0 0 0 3 3h6" fill="none" stroke="currentColor" />
            </svg>
          )}
          {description.name}
        </b>
        <span className="run-facts-line">
          {facts.map((fact, index) => (
            <Fragment key={fact}>
              {index > 0 && ' · '}
              <span>{fact}</span>
            </Fragment>
          ))}
        </span>
        {run.parent && (
          <span className="run-facts-line">
            branch of {parent?.description.name ?? run.parent.runId} at step {formatStep(run.parent.step)}
          </span>
        )}
        <Tags tags={description.tags} />
        <span className="run-id">
          {formatWhen(run.createdMs, Date.now())} · <code>{run.runId}</code>
        </span>
      </span>
      <span>
        <span className="state" data-state={run.state} title={run.reason}>
          {stateWords[run.state]}
        </span>
      </span>
      <span className="run-progress">
        <span>
          {formatStep(run.lastStep)} <OfTotal run={run} />
        </span>
        {totalSteps !== null && (
          <progress max={1} value={Math.min(1, run.lastStep / totalSteps)} aria-label="Progress" />
        )}
      </span>
      <Numbers label="Loss" series={numbers?.loss} unit="" color="slate" low={0} />
      <Targets run={run} targets={numbers?.targets} />
      <Numbers label="Held-out" series={numbers?.heldOut} unit="percent" color="held-out" low={0} high={100} />
      <Numbers label="Number-token bias" series={numbers?.bias} unit="probability" color="violet" low={0} />
    </Link>
  );
}

/** Of one task its accuracy with the course, of several the accuracy of each by name. */
function Targets({ run, targets }: { run: RunSummary; targets: RunNumbers['targets'] | undefined }): React.ReactNode {
  const tasks = targetNames(run.description, []);
  const seriesOf = (task: string): SeriesBuffer | undefined => targets?.find((each) => each.task === task)?.series;
  if (tasks.length <= 1)
    return (
      <Numbers
        label="Target"
        series={tasks[0] === undefined ? undefined : seriesOf(tasks[0])}
        unit="percent"
        color="target"
        low={0}
        high={100}
      />
    );
  return (
    <span className="run-targets" data-testid={`targets-${run.runId}`}>
      <span className="run-number-label">Target accuracy</span>
      {tasks.map((task) => (
        <span key={task} className="run-target">
          <span>{taskLabel(run.description, task)}</span> <b>{formatValue(seriesOf(task)?.lastValue, 'percent')}</b>
        </span>
      ))}
    </span>
  );
}

function Numbers(props: {
  label: string;
  series: SeriesBuffer | undefined;
  unit: Unit;
  color: ChartColor;
  low: number;
  high?: number;
}): React.ReactNode {
  const { label, series, unit, color, low, high } = props;
  return (
    <span className="run-number">
      <span className="run-number-label">{label}</span>
      <b data-bad={series?.lastValue !== undefined && !isMeasured(series.lastValue)}>
        {formatValue(series?.lastValue, unit)}
      </b>
      {series && series.length > 1 && (
        <Sparkline columns={series} color={color} low={low} {...(high !== undefined && { high })} />
      )}
    </span>
  );
}
