import { unitNamed } from '../../charts/format';
import type { LineChartProps } from '../../charts/LineChart';
import type { RunStore } from '../../lib/run-store';

/** The chart of one series, as its trainer has declared it. */
export function chartOf(store: RunStore, name: string): Omit<LineChartProps, 'view' | 'source' | 'testId'> {
  const { label = name, unit: word = '', better, noiseFloor } = store.declared.get(name) ?? {};
  const unit = unitNamed(word);
  const says = [
    label === name ? '' : name,
    better ? `${better === 'lower' ? 'Lower' : 'Higher'} is better.` : '',
    noiseFloor === undefined ? '' : `Differences up to ${noiseFloor} are noise.`,
  ];
  return {
    title: label,
    hint: says.filter(Boolean).join(' '),
    unit,
    ...(unit === '' && word !== '' && { unitText: word }),
    series: [
      {
        id: name,
        label,
        color: 'ink',
        columns: store.buffer(name),
        past: store.courseBefore(name),
        base: store.baseline(name),
      },
    ],
    legend: 'short',
    emptyText: 'No value so far.',
  };
}
