'use client';
import type { CSSProperties } from 'react';
import { isMeasured, metrics } from '@plumbline/shared/metric';
import type { ChartView } from '../../charts/chart-view';
import { useZoom } from '../../charts/ZoomBadge';
import { keyTiles, mostTiles, type KeyTile } from './key-tiles';
import { useCourses, useLastValues, useRun } from './use-run';
import { whenWords } from './when-words';

/** Recovery is measured from the worst value so far. */
const recoveredFrom = [metrics.heldOutMean];
const none: readonly string[] = [];
/** Fewer tiles than this leave room: a single number is not as wide as the page. */
const fewestColumns = 4;

/**
 * The state of the run in at most eight numbers, each against the base model where the trainer has sent the base model's
 * value. They are the latest values, whatever steps the charts show.
 */
export function KeyNumbers({ view }: { view: ChartView }): React.ReactNode {
  const { store } = useRun();
  const tiles = keyTiles(store);
  useLastValues(tiles.flatMap(({ series }) => series));
  useCourses(tiles.some(({ id }) => id === 'key-recovered') ? recoveredFrom : none);
  const zoom = useZoom(view);
  const probed = tiles.filter(({ id }) => probedTiles.has(id)).map(({ series }) => store.series.get(series[0]!));
  const probedStep = probed.map((series) => series?.lastStep).find((step) => step !== undefined);
  const { runSummary: run } = store;
  return (
    <section className="panel" aria-label="Key figures">
      {run && (
        <p className="key-when" data-testid="key-when">
          {whenWords(run, probedStep, zoom)}
        </p>
      )}
      {tiles.length > 0 && (
        <dl
          className="key-numbers"
          data-full={tiles.length === mostTiles}
          style={{ '--columns': Math.max(fewestColumns, tiles.length) } as CSSProperties}
        >
          {tiles.map((tile) => (
            <Tile key={tile.id} {...tile} />
          ))}
        </dl>
      )}
    </section>
  );
}

/** Tiles whose values come with probes, and not with every step. */
const probedTiles: ReadonlySet<string> = new Set(['key-target', 'key-held-out', 'key-bias', 'key-kl']);

function Tile({ id, label, color, value, note, measured, hint }: KeyTile): React.ReactNode {
  return (
    <div className="key-number" title={hint} data-testid={id}>
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
