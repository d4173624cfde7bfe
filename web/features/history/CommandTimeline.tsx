'use client';
import { useState } from 'react';
import type { ChartView } from '../../charts/chart-view';
import { formatClock, isoTime, formatStep } from '../../charts/format';
import { remember, remembered } from '../../lib/remembered';
import { authorWords } from '../../lib/words';
import { useRun } from '../live/use-run';
import { entryKinds, timeline, type EntryKind, type TimelineEntry } from './timeline';
import {
  countKinds,
  isFold,
  kindWords,
  readHidden,
  timelineLines,
  writeHidden,
  type CheckpointFold,
} from './timeline-filter';
import './history.css';

const noneHidden: ReadonlySet<EntryKind> = new Set();
const setting = 'timeline-hidden';

/** The audit log of this run, by kind. Pointing at a line points at its step on all charts. */
export function CommandTimeline({ view }: { view: ChartView }): React.ReactNode {
  const { store } = useRun();
  const [hidden, setHidden] = useState(() => readHidden(remembered(setting)));
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const entries = timeline(store.commandRecords.values(), store.controlEvents, store.runSummary);
  const counts = countKinds(entries);
  const lines = timelineLines(entries, hidden);
  const hide = (kinds: ReadonlySet<EntryKind>): void => {
    setHidden(kinds);
    remember(setting, writeHidden(kinds));
  };
  return (
    <>
      <header className="panel-head timeline-head">
        <h2 id="timeline-title">Timeline</h2>
        <div className="timeline-kinds" role="group" aria-label="Kinds of entries to show">
          {entryKinds.map((kind) => (
            <button
              key={kind}
              type="button"
              aria-pressed={!hidden.has(kind)}
              title={kindWords[kind].says}
              onClick={() => hide(toggled(hidden, kind))}
              data-testid={`timeline-kind-${kind}`}
            >
              {kindWords[kind].name} <b>{counts[kind]}</b>
            </button>
          ))}
        </div>
      </header>
      {entries.length === 0 && <p className="map-empty">Commands and what they changed will be listed here.</p>}
      {entries.length > 0 && lines.length === 0 && (
        <div className="timeline-none">
          <p>None of the {entries.length} entries is of a kind that is switched on.</p>
          <button type="button" className="button small" onClick={() => hide(noneHidden)} data-testid="timeline-all">
            Show all
          </button>
        </div>
      )}
      {lines.length > 0 && (
        <ol
          className="timeline"
          data-testid="timeline"
          tabIndex={0}
          aria-label="What happened to this run, newest first"
        >
          {lines.flatMap((line) => {
            if (!isFold(line)) return [<Entry key={line.id} entry={line} view={view} />];
            const isOpen = opened.has(line.id);
            return [
              <Fold
                key={line.id}
                fold={line}
                isOpen={isOpen}
                view={view}
                onToggle={() => setOpened(toggled(opened, line.id))}
              />,
              ...(isOpen
                ? line.entries.map((entry) => <Entry key={entry.id} entry={entry} view={view} isFolded />)
                : []),
            ];
          })}
        </ol>
      )}
    </>
  );
}

function toggled<T>(set: ReadonlySet<T>, member: T): ReadonlySet<T> {
  const next = new Set(set);
  if (!next.delete(member)) next.add(member);
  return next;
}

function Entry({
  entry,
  view,
  isFolded = false,
}: {
  entry: TimelineEntry;
  view: ChartView;
  /** Whether it is unfolded below its line. */
  isFolded?: boolean;
}): React.ReactNode {
  return (
    <li
      data-state={entry.state}
      data-folded={isFolded}
      onPointerEnter={() => view.hover(entry.step)}
      onPointerLeave={() => view.hover(null)}
    >
      <time dateTime={isoTime(entry.wallTimeMs)}>{formatClock(entry.wallTimeMs)}</time>
      <div>
        <p>
          <b>{entry.title}</b>
          {entry.step !== null && <span className="dim">step {formatStep(entry.step)}</span>}
          {!entry.state.startsWith('event') && entry.state !== 'applied' && (
            <span className="timeline-state">{entry.state}</span>
          )}
          {!['trainer', 'dashboard', 'hub'].includes(entry.author) && (
            <span className="dim">by {authorWords(entry.author)}</span>
          )}
        </p>
        {entry.cause && (
          <p className="timeline-detail" title={entry.cause}>
            {entry.cause}
          </p>
        )}
        {entry.details.map((detail) => (
          <p key={detail} className="timeline-detail" title={detail}>
            {detail}
          </p>
        ))}
      </div>
    </li>
  );
}

function Fold({
  fold,
  isOpen,
  view,
  onToggle,
}: {
  fold: CheckpointFold;
  isOpen: boolean;
  view: ChartView;
  onToggle: () => void;
}): React.ReactNode {
  const newest = fold.entries[0]!;
  return (
    <li
      data-state="event"
      onPointerEnter={() => view.hover(newest.step)}
      onPointerLeave={() => view.hover(null)}
      data-testid="timeline-fold"
    >
      <time dateTime={isoTime(newest.wallTimeMs)}>{formatClock(newest.wallTimeMs)}</time>
      <div>
        <button type="button" className="timeline-fold" aria-expanded={isOpen} onClick={onToggle}>
          <b>{fold.title}</b>
          <span className="dim">{fold.steps}</span>
          <svg viewBox="0 0 12 12" aria-hidden>
            <path d="M2.5 4.5 6 8l3.5-3.5" />
          </svg>
        </button>
        {fold.detail && <p className="timeline-detail">{fold.detail}</p>}
      </div>
    </li>
  );
}
