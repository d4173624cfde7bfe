import { unitNamed } from '../../charts/format';
import type { LineChartProps } from '../../charts/LineChart';
import type { RunStore } from '../../lib/run-store';

/** The declared unit of a series, and its text if the charts have no format for it. */
export function unitOf(store: RunStore, name: string): Pick<LineChartProps, 'unit' | 'unitText'> {
  const word = store.declared.get(name)?.unit ?? '';
  const unit = unitNamed(word);
  return { unit, ...(unit === '' && word !== '' && { unitText: word }) };
}

/** The chart of one series, as its trainer has declared it. */
export function chartOf(store: RunStore, name: string): Omit<LineChartProps, 'view' | 'source' | 'testId'> {
  const { label = name, better, noiseFloor } = store.declared.get(name) ?? {};
  const says = [
    label === name ? '' : name,
    better ? `${better === 'lower' ? 'Lower' : 'Higher'} is better.` : '',
    noiseFloor === undefined ? '' : `Differences up to ${noiseFloor} are noise.`,
  ];
  return {
    title: label,
    hint: says.filter(Boolean).join(' '),
    ...unitOf(store, name),
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
    emptyText: 'No value so far.',
  };
}
