'use client';
import {
  Fragment,
  useRef,
  useState,
  type CSSProperties,
  type KeyboardEvent,
  type MouseEvent,
  type PointerEvent,
} from 'react';
import type { Part } from '@plumbline/shared/parameter';
import { blockName, type MapCell, type MapSection, type ModelMap } from '../../lib/model-map';
import { trainingOf, type Training } from './freeze-map';
import { FreezeMapCell } from './FreezeMapCell';
import { bandName, bandsOf, placesOf, templateOf } from './map-bands';

const partNames: Record<Part, string> = {
  language: 'Language model',
  vision: 'Vision tower',
  projector: 'Projector',
  embedding: 'Embeddings',
  head: 'Head',
  other: 'Other',
};
/** With more rows than this, cells are too low for a number. */
const mostTallRows = 10;
/** With more columns than this, the heads are small. */
const mostWideColumns = 9;

/** The groups of a model as a grid of layers and projections. Each is set to train or not by click, drag or keys. */
export function FreezeMapGrid({
  map,
  training,
  changed,
  driftOf,
  most,
  off,
  onPaint,
}: {
  map: ModelMap;
  training: ReadonlyMap<string, Training>;
  /** Groups that a draft changes. */
  changed: ReadonlySet<string>;
  driftOf: (groups: readonly string[]) => number | undefined;
  /** The largest drift of any group. */
  most: number;
  off: string;
  onPaint: (groups: readonly string[], trains: boolean) => void;
}): React.ReactNode {
  const grid = useRef<HTMLDivElement>(null);
  const painting = useRef<{ trains: boolean; groups: Set<string> } | null>(null);
  /** Layers whose experts are shown one by one, as `part layer`. */
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  const [part, setPart] = useState<Part | null>(null);
  const section = map.sections.find((each) => each.part === part) ?? map.sections[0];
  const isCompact = (section?.rows.length ?? 0) + unfolded.size > mostTallRows;

  const toggle = (groups: readonly string[]): void => {
    const free = groups.filter((group) => training.get(group) !== 'fixed');
    if (free.length > 0) onPaint(free, !free.every((group) => training.get(group) === 'trainable'));
  };
  const groupsAt = (event: MouseEvent): readonly string[] | undefined => {
    const cell = document.elementFromPoint(event.clientX, event.clientY)?.closest<HTMLElement>('[data-group]');
    return cell ? cellsById(map).get(cell.dataset['group']!)?.groups : undefined;
  };
  const onPointerDown = (event: PointerEvent): void => {
    const groups = groupsAt(event);
    // A moving finger scrolls; a tap is a click.
    if (!groups || off || event.button !== 0 || event.pointerType === 'touch') return;
    const state = trainingOf(groups, training);
    if (state === 'fixed') return;
    painting.current = { trains: state !== 'trainable', groups: new Set(groups) };
    onPaint(groups, painting.current.trains);
  };
  const onPointerMove = (event: PointerEvent): void => {
    const brush = painting.current;
    const groups = brush && groupsAt(event);
    if (!brush || !groups || groups.every((group) => brush.groups.has(group))) return;
    for (const group of groups) brush.groups.add(group);
    onPaint([...brush.groups], brush.trains);
  };
  const onClick = (event: MouseEvent): void => {
    const tap = event.nativeEvent as globalThis.PointerEvent;
    const groups = tap.pointerType === 'touch' && !off ? groupsAt(event) : undefined;
    if (groups) toggle(groups);
  };
  const onPointerEnd = (): void => {
    painting.current = null;
  };
  /** Arrow keys go to the nearest cell in that direction, whatever the layout. */
  const onKeyDown = (event: KeyboardEvent): void => {
    const here = (event.target as HTMLElement).closest<HTMLElement>('[data-group]');
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!here || !direction || !grid.current) return;
    event.preventDefault();
    nearest(here, direction as [number, number], grid.current)?.focus();
  };

  let hasTabStop = false;
  const cell = (each: MapCell | null, key: React.Key, style?: CSSProperties): React.ReactNode => {
    if (each === null) return <span key={key} role="gridcell" style={style} />;
    const isTabStop = !hasTabStop;
    hasTabStop = true;
    return (
      <FreezeMapCell
        key={each.id}
        cell={each}
        training={trainingOf(each.groups, training)}
        isChanged={each.groups.some((group) => changed.has(group))}
        drift={driftOf(each.groups)}
        most={most}
        isTabStop={isTabStop}
        onToggle={() => !off && toggle(each.groups)}
        compact={isCompact}
        isNamed={style === undefined}
        style={style}
      />
    );
  };
  const head = (label: string, title: string, groups: () => string[], style?: CSSProperties): React.ReactNode => (
    <button
      type="button"
      role="columnheader"
      disabled={off !== ''}
      tabIndex={-1}
      title={title}
      style={style}
      onClick={() => toggle(groups())}
    >
      {label}
    </button>
  );

  const layers = ({ part, columns, rows }: MapSection): React.ReactNode => {
    const places = placesOf(columns);
    const template: CSSProperties = { gridTemplateColumns: templateOf(columns, rows) };
    const at = (column: number): CSSProperties => ({ gridColumn: places[column]! });
    return (
      <div
        className="map-section"
        role="rowgroup"
        data-many={columns.length > mostWideColumns}
        aria-label={partNames[part]}
      >
        <div className="map-heads">
          <div className="map-row" role="row" style={template}>
            <span className="map-corner" />
            {bandsOf(columns).map(({ block, ofExperts, from, to }) => (
              <Fragment key={`${block} ${ofExperts}`}>
                {head(
                  bandName(block, ofExperts, to - from),
                  `All of ${block === '' ? 'the layers' : blockName(block)}`,
                  () => rows.flatMap(({ cells }) => groupsIn(cells.slice(from, to))),
                  { gridColumn: `${places[from]!} / ${places[to - 1]! + 1}` },
                )}
              </Fragment>
            ))}
          </div>
          <div className="map-row" role="row" style={template}>
            {head('layer', `All layers of the ${partNames[part].toLowerCase()}`, () =>
              rows.flatMap(({ cells }) => groupsIn(cells)),
            )}
            {columns.map(({ key, label, block, ofExperts }, column) => (
              <Fragment key={key}>
                {head(
                  label,
                  `All ${ofExperts ? 'experts’ ' : ''}${label}${block === '' ? '' : ` of ${blockName(block)}`}`,
                  () => rows.flatMap(({ cells }) => groupsIn([cells[column]!])),
                  at(column),
                )}
              </Fragment>
            ))}
          </div>
        </div>
        {rows.map(({ layer, cells, experts }) => {
          const id = `${part} ${layer}`;
          const isUnfolded = unfolded.has(id);
          return (
            <Fragment key={layer}>
              <div className="map-row" role="row" style={template}>
                <span className="map-layer">
                  <button
                    type="button"
                    role="rowheader"
                    disabled={off !== ''}
                    tabIndex={-1}
                    title={`All of layer ${layer}`}
                    onClick={() => toggle(groupsIn(cells))}
                  >
                    {layer}
                  </button>
                  {experts.length > 0 && (
                    <button
                      type="button"
                      className="map-unfold"
                      aria-expanded={isUnfolded}
                      aria-label={`Experts of layer ${layer} one by one`}
                      title={`${experts.length} experts, one by one`}
                      onClick={() => setUnfolded(toggled(unfolded, id))}
                    >
                      {isUnfolded ? '▾' : '▸'}
                    </button>
                  )}
                </span>
                {cells.map((each, column) => cell(each, column, at(column)))}
              </div>
              {isUnfolded &&
                experts.map((each) => (
                  <div className="map-row" role="row" key={each.expert} style={template}>
                    <button
                      type="button"
                      role="rowheader"
                      className="map-expert"
                      disabled={off !== ''}
                      tabIndex={-1}
                      title={`All of expert ${each.expert} of layer ${layer}`}
                      onClick={() => toggle(groupsIn(each.cells))}
                    >
                      e{each.expert}
                    </button>
                    {each.cells.map((one, column) => cell(one, column, at(column)))}
                  </div>
                ))}
            </Fragment>
          );
        })}
      </div>
    );
  };
  // Made before the others: Tab goes to the first cell that is made.
  const shown = section && layers(section);
  const others = map.others.map((each) => cell(each, each.id));
  return (
    <div
      ref={grid}
      className="map-grid"
      role="grid"
      aria-label="Parameter groups. Arrow keys move, space chooses."
      aria-readonly={off !== ''}
      data-off={off !== ''}
      data-compact={isCompact}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerEnd}
      onPointerLeave={onPointerEnd}
      onPointerCancel={onPointerEnd}
      onClick={onClick}
      onKeyDown={onKeyDown}
    >
      {map.sections.length > 1 && (
        <div className="map-parts" role="group" aria-label="Parts of the model">
          {map.sections.map((each) => {
            const changes = each.rows
              .flatMap(({ cells }) => groupsIn(cells))
              .filter((group) => changed.has(group)).length;
            return (
              <button
                key={each.part}
                type="button"
                aria-pressed={each === section}
                data-changed={changes > 0}
                onClick={() => setPart(each.part)}
                data-testid={`map-part-${each.part}`}
              >
                {partNames[each.part]} <small>{changes > 0 ? `${changes} change` : `${each.rows.length} layers`}</small>
              </button>
            );
          })}
        </div>
      )}
      {shown && <div className="map-scroll">{shown}</div>}
      {others.length > 0 && (
        <div className="map-others" role="row">
          {others}
        </div>
      )}
    </div>
  );
}

const groupsIn = (cells: readonly (MapCell | null)[]): string[] => cells.flatMap((cell) => cell?.groups ?? []);

function toggled<T>(set: ReadonlySet<T>, value: T): ReadonlySet<T> {
  const next = new Set(set);
  if (!next.delete(value)) next.add(value);
  return next;
}

const byMap = new WeakMap<ModelMap, ReadonlyMap<string, MapCell>>();
function cellsById(map: ModelMap): ReadonlyMap<string, MapCell> {
  const known = byMap.get(map);
  if (known) return known;
  const all = [
    ...map.sections.flatMap(({ rows }) => rows.flatMap((row) => [row, ...row.experts].flatMap(({ cells }) => cells))),
    ...map.others,
  ];
  const cells = new Map(all.flatMap((cell) => (cell ? [[cell.id, cell] as const] : [])));
  byMap.set(map, cells);
  return cells;
}

function nearest(here: HTMLElement, [dx, dy]: [number, number], grid: HTMLElement): HTMLElement | null {
  const from = here.getBoundingClientRect();
  let best: HTMLElement | null = null;
  let bestDistance = Infinity;
  for (const other of grid.querySelectorAll<HTMLElement>('[data-group]')) {
    const to = other.getBoundingClientRect();
    const x = to.x + to.width / 2 - from.x - from.width / 2;
    const y = to.y + to.height / 2 - from.y - from.height / 2;
    const along = x * dx + y * dy;
    const across = Math.abs(x * dy) + Math.abs(y * dx);
    if (along > 4 && along + 3 * across < bestDistance) {
      best = other;
      bestDistance = along + 3 * across;
    }
  }
  return best;
}
