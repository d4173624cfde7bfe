import Link from 'next/link';
import { saysItsStep } from '@plumbline/shared/branch-name';
import { formatEnergy } from '@plumbline/shared/energy';
import { builtInConfig } from '@plumbline/shared/built-in/run-config';
import { taskLabel } from '@plumbline/shared/run-description';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import { formatStep, formatValue } from '../../charts/format';
import type { ChartColor } from '../../charts/palette';
import type { RunStore } from '../../lib/run-store';
import { chosenSettings } from '../../lib/settings';
import { sequenceWords } from '../../lib/words';
import { comparisonOf, type Comparison } from './comparison';

export interface ComparedRun {
  run: RunSummary;
  store: RunStore;
  color: ChartColor;
  /** Tells it apart from the others on the page. */
  name: string;
}

const points = (value: number | undefined): string => (value === undefined ? '–' : minus(value.toFixed(1)));
const minus = (text: string): string => text.replace(/^-0\.0$/, '0.0').replace(/^-/, '−');

interface Column {
  head: string;
  hint?: string;
  cell: (of: ComparedRun & { figures: Comparison }) => React.ReactNode;
}
const columns: readonly Column[] = [
  {
    head: 'Recipe',
    cell: ({ run: { description }, figures: { training } }) => {
      const config = builtInConfig(description);
      const words = [training.trains?.now ?? '–', ...(config ? chosenSettings(config, ['method']) : [])];
      return (
        <span>
          {words.join(', ')}
          {training.trains?.began && <small>{training.trains.began}</small>}
          <small>{sequenceWords(description)}</small>
        </span>
      );
    },
  },
  {
    head: 'Peak learning rate',
    cell: ({ figures: { training } }) => (
      <span>
        {training.rate?.now ?? '–'}
        {training.rate?.began && <small>{training.rate.began}</small>}
      </span>
    ),
  },
  {
    head: 'Steps',
    cell: ({ run }) =>
      hasEnded(run.state) || run.description.totalSteps === null
        ? formatStep(run.lastStep)
        : `${formatStep(run.lastStep)} of ${formatStep(run.description.totalSteps)}`,
  },
  { head: 'Held-out accuracy, final', cell: ({ figures }) => formatValue(figures.heldOut, 'percent') },
  {
    head: 'Held-out accuracy, lowest',
    hint: 'Of a branch over its whole course, as the charts show it',
    cell: ({ figures }) => formatValue(figures.lowestHeldOut, 'percent'),
  },
  {
    head: 'Forgetting, points',
    hint: 'Held-out accuracy lost against the base model',
    cell: ({ figures }) => points(figures.forgetting),
  },
  {
    head: 'Recovered',
    hint: 'Of a branch over its whole course: how much of the worst drop has come back; a dash where nothing dropped past the noise floor',
    cell: ({ figures }) => formatValue(figures.recovered, 'percent'),
  },
  {
    head: 'Target gain, points',
    hint: 'Target accuracy won against the base model; of several tasks the mean, and each',
    cell: ({ run: { description }, figures: { targetGain, targetGains } }) => (
      <span>
        {points(targetGain)}
        {targetGains.length > 1 &&
          targetGains.map((each) => (
            <small key={each.task}>
              {taskLabel(description, each.task)} {points(each.points)}
            </small>
          ))}
      </span>
    ),
  },
  { head: 'KL(base ‖ now), nats', cell: ({ figures }) => formatValue(figures.kl, '') },
  {
    head: 'Number-token bias',
    hint: 'On held-out prompts',
    cell: ({ figures }) => formatValue(figures.bias, 'probability'),
  },
  {
    head: 'Energy',
    hint: 'With what it is at least and at most, and its emissions; a branch counts from its own start',
    cell: ({ figures: { energy } }) =>
      energy ? (
        <span title={energy.rests}>
          {formatEnergy(energy.joules)}
          {[energy.range, [energy.emissions, energy.how].filter(Boolean).join(' · ')].map(
            (line) => line && <small key={line}>{line}</small>,
          )}
        </span>
      ) : (
        '–'
      ),
  },
  {
    head: 'Changed mid-run',
    hint: 'What trains, the learning rate and the guard rules; of a branch also what it took over from its parent',
    cell: ({ figures: { changes, takenOver } }) => (
      <span>
        {changes.length === 0
          ? 'nothing'
          : changes.map((change, index) => <span key={`${index} ${change}`}>{change}</span>)}
        {takenOver.length > 0 && <small>took over {takenOver.join(', ')}</small>}
      </span>
    ),
  },
];

/** What each run came to, beside the others; of a run under way, so far. */
export function CompareTable({ runs }: { runs: readonly ComparedRun[] }): React.ReactNode {
  return (
    <section className="panel compare-table-panel">
      <table className="compare-table" data-testid="compare-table">
        <thead>
          <tr>
            <th scope="col">Run</th>
            {columns.map(({ head, hint }) => (
              <th scope="col" key={head} title={hint}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {runs.map((each) => {
            const figures = comparisonOf(each.store);
            const { run } = each;
            return (
              <tr key={run.runId}>
                <th scope="row">
                  <div className="compare-run">
                    <i className="swatch" data-color={each.color} />
                    <span>
                      <Link href={`/runs/?run=${run.runId}`}>{each.name}</Link>
                      {run.parent && !saysItsStep(run) && (
                        <span className="dim"> from step {formatStep(run.parent.step)}</span>
                      )}
                      {!hasEnded(run.state) && <span className="dim"> so far</span>}
                    </span>
                  </div>
                </th>
                {figures &&
                  columns.map(({ head, cell }) => (
                    <td key={head} data-head={head}>
                      {cell({ ...each, figures })}
                    </td>
                  ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
