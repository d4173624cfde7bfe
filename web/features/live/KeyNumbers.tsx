'use client';
import { formatEnergy } from '@plumbline/shared/energy';
import { metrics, targetAccuracy, isMeasured } from '@plumbline/shared/metric';
import { builtInConfig } from '@plumbline/shared/built-in/run-config';
import { recovery } from '@plumbline/shared/recovery';
import { targetNames, taskLabel } from '@plumbline/shared/run-description';
import { formatDelta, formatLearningRate, formatValue, type Unit } from '../../charts/format';
import type { ChartView } from '../../charts/chart-view';
import { useZoom } from '../../charts/ZoomBadge';
import { beginningOf, peakLearningRate } from '../../lib/changes';
import { energyMetrics, energyReading } from '../../lib/energy-reading';
import { recoverySubject } from '../drift/recovery-view';
import { learningRates } from './metric-series';
import { rateWords } from './rate-words';
import { useCourses, useLastValues, useRun } from './use-run';
import { whenWords } from './when-words';

const shownAlways = [
  ...[metrics.heldOutMean, metrics.numberTokensHeldOut, metrics.kl, metrics.js, metrics.loss, metrics.gradientNorm],
  ...energyMetrics,
];
/** Recovery is told from the worst value so far. */
const recoveredFrom = [metrics.heldOutMean];

/**
 * The state of the run in eight numbers, each against the base model where that means something: the latest, whatever
 * steps the charts show.
 */
export function KeyNumbers({ view }: { view: ChartView }): React.ReactNode {
  const { store } = useRun();
  const latest = (metric: string): number | undefined => store.series.get(metric)?.lastValue;
  const against = (metric: string, unit: Unit): string => {
    const [now, base] = [latest(metric), store.baseline(metric)];
    return now === undefined || base === undefined ? '' : `${formatDelta(now - base, unit)} vs base`;
  };
  const heldOut = recoverySubject(store, metrics.heldOutMean);
  const back = heldOut && recovery(store.wholeCourse(metrics.heldOutMean), heldOut.base, 'lower', heldOut.noiseFloor);
  const floor = heldOut ? `noise ${heldOut.noiseFloor.toFixed(1)} pp` : '';
  const rates = learningRates(store).flatMap((name) => {
    const rate = latest(name);
    return rate === undefined ? [] : [{ name, rate }];
  });
  const energy = energyReading(store);
  const { runSummary: run } = store;
  const description = run?.description;
  const task = store.stage?.task ?? targetNames(description ?? { tasks: [] }, store.seriesNames)[0];
  const target = task === undefined ? undefined : targetAccuracy(task);
  useLastValues([...shownAlways, ...learningRates(store), ...(target === undefined ? [] : [target])]);
  useCourses(recoveredFrom);
  const zoom = useZoom(view);
  const probes = [
    metrics.heldOutMean,
    metrics.numberTokensHeldOut,
    metrics.kl,
    ...(target === undefined ? [] : [target]),
  ];
  const probedStep = probes.map((metric) => store.series.get(metric)?.lastStep).find((step) => step !== undefined);
  const peak = description ? peakLearningRate(beginningOf(description), store.changesInForce) : undefined;
  const schedule = description && builtInConfig(description)?.schedule;
  const peakWords = [peak !== undefined && `peak ${formatLearningRate(peak)}`, schedule].filter(Boolean).join(', ');
  return (
    <section className="panel" aria-label="Key figures">
      {run && (
        <p className="key-when" data-testid="key-when">
          {whenWords(run, probedStep, zoom)}
        </p>
      )}
      <dl className="key-numbers">
        {target !== undefined && (
          <Tile
            label={`${taskLabel(description ?? { tasks: [] }, task!)} accuracy`}
            color="target"
            value={formatValue(latest(target), 'percent')}
            measured={latest(target)}
            note={against(target, 'percent')}
          />
        )}
        <Tile
          label="Held-out accuracy"
          color="held-out"
          value={formatValue(latest(metrics.heldOutMean), 'percent')}
          measured={latest(metrics.heldOutMean)}
          note={against(metrics.heldOutMean, 'percent')}
        />
        <Tile
          label="Recovered"
          color="held-out"
          value={back ? formatValue(back.percent, 'percent') : '–'}
          measured={back?.percent}
          note={
            back ? `of ${formatDelta(back.worst - heldOut!.base, 'percent')}, ${floor}` : floor && `no drop, ${floor}`
          }
        />
        <Tile
          label="Number-token bias"
          color="held-out"
          value={formatValue(latest(metrics.numberTokensHeldOut), 'probability')}
          measured={latest(metrics.numberTokensHeldOut)}
          note={against(metrics.numberTokensHeldOut, 'probability')}
        />
        <Tile
          label="KL(base ‖ now)"
          color="violet"
          value={formatValue(latest(metrics.kl), 'nats')}
          measured={latest(metrics.kl)}
          note={latest(metrics.js) === undefined ? '' : `JS ${formatValue(latest(metrics.js), 'nats')}`}
        />
        <Tile
          label="Loss"
          color="ink"
          value={formatValue(latest(metrics.loss), '')}
          measured={latest(metrics.loss)}
          note={
            latest(metrics.gradientNorm) === undefined
              ? ''
              : `gradient norm ${formatValue(latest(metrics.gradientNorm), '')}`
          }
        />
        <Tile
          label="Learning rate"
          color="slate"
          value={rateWords(rates.map(({ rate }) => rate))}
          measured={rates.find(({ rate }) => !isMeasured(rate))?.rate}
          note={peakWords}
          hint={
            rates.length > 1
              ? rates.map(({ name, rate }) => `${name}: ${formatLearningRate(rate)}`).join('\n')
              : undefined
          }
          testId="key-learning-rate"
        />
        <Tile
          label={energy ? `Energy, ${energy.how}` : 'Energy'}
          color="slate"
          value={energy ? formatEnergy(energy.joules) : '–'}
          measured={energy?.joules}
          note={energy ? [energy.range, energy.emissions].filter(Boolean).join(' · ') : 'not told by the trainer'}
          hint={energy?.rests}
          testId="key-energy"
        />
      </dl>
    </section>
  );
}

function Tile({
  label,
  color,
  value,
  note,
  measured,
  hint,
  testId,
}: {
  label: string;
  color: string;
  value: string;
  note: string;
  /** What the value was made from: marked where it is no number that can be drawn. */
  measured?: number | undefined;
  /** Shown while the pointer rests on it. */
  hint?: string | undefined;
  testId?: string;
}): React.ReactNode {
  return (
    <div className="key-number" title={hint} data-testid={testId}>
      <dt>
        <i className="swatch" data-color={color} />
        <span title={label}>{label}</span>
      </dt>
      <dd>
        <b data-bad={measured !== undefined && !isMeasured(measured)}>{value}</b>
        <span>{note}</span>
      </dd>
    </div>
  );
}
