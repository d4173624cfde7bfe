import Link from 'next/link';
import { saysItsStep } from '@plumbline/shared/branch-name';
import { formatEnergy } from '@plumbline/shared/energy-words';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { taskLabel } from '@plumbline/shared/run-tasks';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import { formatStep, formatValue } from '../../charts/format';
import type { ChartColor } from '../../charts/palette';
import type { RunStore } from '../../lib/run-store';
import { chosenSettings } from '../../lib/settings';
import { sequenceWords } from '../../lib/words';
import { chartOf } from '../live/series-chart';
import { comparisonOf, type Comparison } from './comparison';

export interface ComparedRun {
  run: RunSummary;
  store: RunStore;
  color: ChartColor;
  /** Unique on the page. */
  name: string;
}

const points = (value: number | undefined): string => (value === undefined ? '–' : minus(value.toFixed(1)));
const minus = (text: string): string => text.replace(/^-0\.0$/, '0.0').replace(/^-/, '−');

interface Column {
  head: string;
  /** Whether a run has a value. A column without any value is left out; without this check it is always shown. */
  has?: (figures: Comparison) => boolean;
  hint?: string;
  cell: (of: ComparedRun & { figures: Comparison }) => React.ReactNode;
}
const columns: readonly Column[] = [
  {
    head: 'Recipe',
    has: ({ training }) => training.trains !== null,
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
    has: ({ training }) => training.rate !== null,
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
  {
    head: 'Held-out accuracy, final',
    has: ({ heldOut }) => heldOut !== undefined,
    cell: ({ figures }) => formatValue(figures.heldOut, 'percent'),
  },
  {
    head: 'Held-out accuracy, lowest',
    has: ({ lowestHeldOut }) => lowestHeldOut !== undefined,
    hint: 'For a branch: over its whole course, as in the charts',
    cell: ({ figures }) => formatValue(figures.lowestHeldOut, 'percent'),
  },
  {
    head: 'Forgetting, points',
    has: ({ forgetting }) => forgetting !== undefined,
    hint: 'Loss of held-out accuracy against the base model',
    cell: ({ figures }) => points(figures.forgetting),
  },
  {
    head: 'Recovered',
    has: ({ heldOut }) => heldOut !== undefined,
    hint: 'How much of the worst drop has come back, for a branch over its whole course; a dash if nothing dropped past the noise floor',
    cell: ({ figures }) => formatValue(figures.recovered, 'percent'),
  },
  {
    head: 'Target gain, points',
    has: ({ targetGains }) => targetGains.some((each) => each.points !== undefined),
    hint: 'Gain of target accuracy against the base model; for several tasks the mean, then each',
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
  {
    head: 'KL(base ‖ now), nats',
    has: ({ kl }) => kl !== undefined,
    cell: ({ figures }) => formatValue(figures.kl, ''),
  },
  {
    head: 'Number-token bias',
    has: ({ bias }) => bias !== undefined,
    hint: 'On held-out prompts',
    cell: ({ figures }) => formatValue(figures.bias, 'probability'),
  },
  {
    head: 'Energy',
    has: ({ energy }) => energy !== null,
    hint: 'With its lower and upper bound and its emissions; a branch counts from its own start',
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
    hint: 'Changes of what trains, the learning rate and the guard rules; for a branch also those taken over from its parent',
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

/** The last value of another trainer's series. */
function ownColumn(name: string, runs: readonly ComparedRun[]): Column {
  const { store } = runs.find(({ store: { declared } }) => declared.has(name)) ?? runs[0]!;
  const { title, unit, unitText, hint } = chartOf(store, name);
  return {
    head: [`${title}, last`, unitText].filter(Boolean).join(', '),
    ...(hint && { hint }),
    cell: ({ store: { series } }) => formatValue(series.get(name)?.lastValue, unit),
  };
}

/**
 * The results of the runs side by side; those of a run under way are so far.
 * @param own series of other trainers, a column each
 */
export function CompareTable({ runs, own }: { runs: readonly ComparedRun[]; own: readonly string[] }): React.ReactNode {
  const figuresOf = new Map(runs.map(({ run, store }) => [run.runId, comparisonOf(store)]));
  const isOfAny = ({ has }: Column): boolean => !has || [...figuresOf.values()].some((of) => of !== null && has(of));
  const shown = columns.filter(isOfAny);
  // Changes are last: they are the longest.
  shown.splice(-1, 0, ...own.map((name) => ownColumn(name, runs)));
  return (
    <section className="panel compare-table-panel">
      <table className="compare-table" data-testid="compare-table">
        <thead>
          <tr>
            <th scope="col">Run</th>
            {shown.map(({ head, hint }) => (
              <th scope="col" key={head} title={hint}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {runs.map((each) => {
            const { run } = each;
            const figures = figuresOf.get(run.runId);
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
                  shown.map(({ head, cell }) => (
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
