'use client';
import Link from 'next/link';
import type { RunId } from '@plumbline/shared/run';
import { compareAddress, maxCompared } from '../../lib/addresses';

/** The actions for the ticked runs of the list. */
export function TickedBar({
  ticked,
  deleteOff,
  onClear,
  onDelete,
}: {
  ticked: readonly RunId[];
  /** Why this browser cannot delete runs; empty if it can. */
  deleteOff: string;
  onClear: () => void;
  onDelete: () => void;
}): React.ReactNode {
  const isTooMany = ticked.length > maxCompared;
  return (
    <div className="ticked-bar" role="region" aria-label="Ticked runs">
      <span>{ticked.length === 1 ? '1 run ticked' : `${ticked.length} runs ticked`}</span>
      {isTooMany && <span className="dim">compare takes {maxCompared}</span>}
      {ticked.length === 1 && <span className="dim ticked-hint">tick another to compare</span>}
      <button type="button" className="button small" onClick={onClear}>
        Clear
      </button>
      <button
        type="button"
        className="button small danger"
        disabled={deleteOff !== ''}
        title={deleteOff}
        onClick={onDelete}
        data-testid="delete"
      >
        Delete …
      </button>
      {ticked.length > 1 && !isTooMany && (
        <Link href={compareAddress(ticked)} className="button small primary" data-testid="compare">
          Compare
        </Link>
      )}
    </div>
  );
}
