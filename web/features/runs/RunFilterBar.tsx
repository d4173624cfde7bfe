'use client';
import { useEffect, useMemo, useState } from 'react';
import { metrics } from '@plumbline/shared/metric';
import { endedStates, runStates, type RunState } from '@plumbline/shared/run';
import type { ListQuery } from '../../lib/run-lister';
import { stateWords } from '../../lib/words';

/** The sort orders of a list. */
const orders = {
  activity: { words: 'Newest activity', query: { sort: 'activity', order: 'desc' } },
  newest: { words: 'Newest', query: { sort: 'created', order: 'desc' } },
  oldest: { words: 'Oldest', query: { sort: 'created', order: 'asc' } },
  name: { words: 'Name', query: { sort: 'name', order: 'asc' } },
  steps: { words: 'Most steps', query: { sort: 'last_step', order: 'desc' } },
  loss: { words: 'Lowest loss', query: { sort: `value:${metrics.loss}`, order: 'asc' } },
  heldOut: { words: 'Best held-out', query: { sort: `value:${metrics.heldOutMean}`, order: 'desc' } },
  kl: { words: 'Least KL', query: { sort: `value:${metrics.kl}`, order: 'asc' } },
} as const satisfies Record<string, { words: string; query: ListQuery }>;
type Order = keyof typeof orders;

const states: Record<string, { words: string; states: readonly RunState[] }> = {
  all: { words: 'All states', states: [] },
  going: { words: 'Under way', states: runStates.filter((state) => !endedStates.includes(state)) },
  ...Object.fromEntries(endedStates.map((state) => [state, { words: stateWords[state], states: [state] }])),
};

const typingMs = 250;

export interface RunFilter {
  query: ListQuery;
  /** Whether some runs may be left out. */
  isOn: boolean;
  /** Whether branches stand below their run. */
  isTree: boolean;
  orderWords: string;
  text: string;
  state: string;
  order: Order;
  setText: (text: string) => void;
  setState: (state: string) => void;
  setOrder: (order: Order) => void;
  clear: () => void;
}

/** The filters and the sort order of the list. */
export function useRunFilter(): RunFilter {
  const [text, setText] = useState('');
  const [sought, setSought] = useState('');
  const [state, setState] = useState('all');
  const [order, setOrder] = useState<Order>('activity');
  useEffect(() => {
    const timer = setTimeout(() => setSought(text.trim()), typingMs);
    return () => clearTimeout(timer);
  }, [text]);
  const query = useMemo(
    (): ListQuery => ({
      ...orders[order].query,
      ...(sought !== '' && { text: sought }),
      ...(state !== 'all' && { state: states[state]!.states }),
    }),
    [sought, state, order],
  );
  const isTree = order === 'activity';
  return {
    ...{ query, text, state, order, setText, setState, setOrder, isTree },
    isOn: sought !== '' || state !== 'all',
    orderWords: isTree ? 'newest activity first, branches below their run' : orders[order].words.toLowerCase(),
    clear: () => {
      setText('');
      setSought('');
      setState('all');
    },
  };
}

export function RunFilterBar({ filter }: { filter: RunFilter }): React.ReactNode {
  return (
    <div className="run-filter" role="search">
      <input
        type="search"
        className="field-input"
        aria-label="Name or id of a run"
        placeholder="Name or id"
        maxLength={200}
        value={filter.text}
        onChange={(event) => filter.setText(event.target.value)}
        data-testid="run-text"
      />
      <select
        className="field-input"
        aria-label="State"
        value={filter.state}
        onChange={(event) => filter.setState(event.target.value)}
        data-testid="run-state"
      >
        {Object.entries(states).map(([key, { words }]) => (
          <option key={key} value={key}>
            {words}
          </option>
        ))}
      </select>
      <label className="run-order">
        <span className="dim">Sort</span>
        <select
          className="field-input"
          value={filter.order}
          onChange={(event) => filter.setOrder(event.target.value as Order)}
          data-testid="run-order"
        >
          {Object.entries(orders).map(([key, { words }]) => (
            <option key={key} value={key}>
              {words}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
