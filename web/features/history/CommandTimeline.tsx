'use client';
import type { ChartView } from '../../charts/chart-view';
import { formatClock, formatStep } from '../../charts/format';
import { authorWords } from '../../lib/words';
import { useRun } from '../live/use-run';
import { timeline } from './timeline';
import './history.css';

/** The audit log of this run. Pointing at a line points at its step on all charts. */
export function CommandTimeline({ view }: { view: ChartView }): React.ReactNode {
  const { store } = useRun();
  const entries = timeline(store.commandRecords.values(), store.controlEvents, store.runSummary);
  if (entries.length === 0) return <p className="map-empty">Commands and what they changed will be listed here.</p>;
  return (
    <ol className="timeline" data-testid="timeline" tabIndex={0} aria-label="What happened to this run, newest first">
      {entries.map((entry) => (
        <li
          key={entry.id}
          data-state={entry.state}
          onPointerEnter={() => view.hover(entry.step)}
          onPointerLeave={() => view.hover(null)}
        >
          <time dateTime={new Date(entry.wallTimeMs).toISOString()}>{formatClock(entry.wallTimeMs)}</time>
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
      ))}
    </ol>
  );
}
