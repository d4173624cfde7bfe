import { isMeasured } from '@plumbline/shared/metric';
import type { CSSProperties } from 'react';
import { formatCount, formatValue } from '../../charts/format';
import type { MapCell } from '../../lib/model-map';
import type { Training } from './freeze-map';

/**
 * A cell of the map: one parameter group or several. Its colour is its drift; a mark stands for a drift that cannot be
 * drawn. It is hatched if frozen, locked if the method keeps it fixed, and flagged if the draft changes it.
 */
export function FreezeMapCell(props: {
  cell: MapCell;
  training: Training;
  isChanged: boolean;
  drift: number | undefined;
  /** The largest drift of any group, which has the full colour. */
  most: number;
  isTabStop: boolean;
  compact: boolean;
  /** Whether the cell shows its name, as no column head does. */
  isNamed: boolean;
  /** The grid column. */
  style: CSSProperties | undefined;
  onToggle: () => void;
}): React.ReactNode {
  const { cell, training, isChanged, drift, most, isTabStop, compact, isNamed, style, onToggle } = props;
  const isBad = drift !== undefined && !isMeasured(drift);
  const share = isBad ? 1 : Math.min(1, (drift ?? 0) / most);
  const [group, ...others] = cell.groups;
  const what =
    others.length === 0 ? group : `${group} and ${others.length} more ${others.length === 1 ? 'group' : 'groups'}`;
  const trains = training === 'fixed' ? 'kept by the method' : training === 'partly' ? 'trainable in part' : training;
  const drifts = `${others.length === 0 ? 'drift' : 'largest drift'} ${formatValue(drift, 'ratio')}`;
  const words = `${what}, ${formatCount(cell.size)} parameters, ${trains}, ${drifts}`;
  return (
    <div
      role="gridcell"
      className="map-cell"
      data-group={cell.id}
      data-training={training}
      data-changed={isChanged}
      data-deep={share > 0.68}
      data-bad={isBad}
      aria-selected={training === 'trainable' || training === 'partly'}
      aria-disabled={training === 'fixed'}
      aria-label={isChanged ? `${words}, changed but not applied` : words}
      title={words}
      tabIndex={isTabStop ? 0 : -1}
      style={{ ...style, '--share': share } as CSSProperties}
      onKeyDown={(event) => {
        if (event.key !== ' ' && event.key !== 'Enter') return;
        event.preventDefault();
        onToggle();
      }}
    >
      {isNamed && <span className="map-cell-name">{cell.label}</span>}
      {training === 'fixed' && <LockSign />}
      {!compact && training !== 'fixed' && (
        <span className="map-cell-drift">
          {drift === undefined ? '' : isBad ? '!' : drift >= 1000 ? '≫' : (drift * 100).toFixed(drift >= 0.1 ? 0 : 1)}
        </span>
      )}
    </div>
  );
}

const LockSign = (): React.ReactNode => (
  <svg className="lock-sign" viewBox="0 0 10 12" aria-hidden>
    <rect x="1" y="5" width="8" height="6" rx="1.2" fill="currentColor" />
    <path d="M2.8 5V3.4a2.2 2.2 0 0 1 4.4 0V5" fill="none" stroke="currentColor" strokeWidth="1.2" />
  </svg>
);
