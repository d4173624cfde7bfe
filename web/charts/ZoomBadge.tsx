'use client';
import { useSyncExternalStore } from 'react';
import { formatStep } from './format';
import type { ChartView, StepWindow } from './chart-view';

/** Returns the zoomed window of steps; null while the charts show all steps. */
export const useZoom = (view: ChartView): StepWindow | null =>
  useSyncExternalStore(
    view.onWindow,
    () => view.zoom,
    () => null,
  );

/** Shows the zoomed window and a button to reset it. */
export function ZoomBadge({ view }: { view: ChartView }): React.ReactNode {
  const zoom = useZoom(view);
  if (!zoom) return null;
  return (
    <button
      type="button"
      className="button primary zoom-badge"
      onClick={() => view.resetZoom()}
      data-testid="zoom-reset"
    >
      Steps {formatStep(zoom[0])} to {formatStep(zoom[1])} · show all
    </button>
  );
}
