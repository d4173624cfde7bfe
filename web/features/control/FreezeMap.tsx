'use client';
import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react';
import { weightDrift, isMeasured } from '@plumbline/shared/metric';
import { recipes, resolveSelection, type TrainableSelection } from '@plumbline/shared/parameter';
import { formatValue } from '../../charts/format';
import { recipeWords, selectionWords } from '../../lib/words';
import { useRun } from '../live/use-run';
import {
  amountWords,
  diffTraining,
  layOut,
  paintGroups,
  previewPattern,
  recipeOf,
  trainingByGroup,
  type MapCell,
  type Training,
} from './freeze-map';
import { FreezeMapCell } from './FreezeMapCell';
import { Outcome } from './Outcome';
import { PatternField } from './PatternField';
import { useCommand, useControlsOff } from './use-command';

const noParameters: never[] = [];
const keyWords: readonly [Training, string][] = [
  ['trainable', 'trainable'],
  ['partly', 'in part'],
  ['frozen', 'frozen'],
  ['fixed', 'kept by the method'],
];

/** Which parts of the model train: seen, chosen by click, drag, keys, recipe or name, and applied with one button. */
export function FreezeMap(): React.ReactNode {
  const { store } = useRun();
  const off = useControlsOff();
  const { give, record, isPending } = useCommand();
  const [draft, setDraftSelection] = useState<TrainableSelection | null>(null);
  const [pattern, setPattern] = useState('');
  const grid = useRef<HTMLDivElement>(null);
  const painting = useRef<{ trains: boolean; groups: Set<string> } | null>(null);

  /** The last way of choosing counts; what another way had left behind is cleared. */
  const setDraft = (selection: TrainableSelection | null): void => {
    setDraftSelection(selection);
    setPattern('');
  };
  const choosePattern = (text: string): void => {
    setPattern(text);
    const hits = previewPattern(text, parameters).ok;
    setDraftSelection(hits ? { kind: 'pattern', pattern: text } : null);
  };

  const started = store.latest('run_started');
  const parameters = started?.model.parameters ?? noParameters;
  const trainable = store.trainable;
  const layout = useMemo(() => layOut(parameters), [parameters]);
  const now = useMemo(() => trainingByGroup(parameters, trainable ?? []), [parameters, trainable]);
  const resolved = useMemo(() => (draft ? resolveSelection(draft, parameters) : null), [draft, parameters]);
  const chosen = useMemo(
    () => (resolved?.ok ? trainingByGroup(parameters, resolved.trainable) : now),
    [resolved, parameters, now],
  );
  const diff = diffTraining(now, chosen);
  const done = record?.state === 'applied' ? record.commandId : null;
  useEffect(() => {
    if (!done) return;
    setDraftSelection(null);
    setPattern('');
  }, [done]);

  if (!started)
    return <p className="map-empty">The map appears when the trainer has said what the model is made of.</p>;

  const drifts = [...now.keys()].map((group) => store.series.get(weightDrift(group))?.lastValue ?? 0);
  const most = Math.max(0.001, ...drifts.filter(isMeasured));
  const paint = (groups: readonly string[], trains: boolean): void =>
    setDraft(paintGroups(chosen, new Set(groups), trains));
  const toggle = (groups: readonly string[]): void => {
    const free = groups.filter((group) => chosen.get(group) !== 'fixed');
    if (free.length > 0) paint(free, !free.every((group) => chosen.get(group) === 'trainable'));
  };
  const groupAt = (event: PointerEvent): string | undefined =>
    document.elementFromPoint(event.clientX, event.clientY)?.closest<HTMLElement>('[data-group]')?.dataset['group'];

  const onPointerDown = (event: PointerEvent): void => {
    const group = groupAt(event);
    if (!group || off || event.button !== 0 || chosen.get(group) === 'fixed') return;
    painting.current = { trains: chosen.get(group) !== 'trainable', groups: new Set([group]) };
    paint([group], painting.current.trains);
  };
  const onPointerMove = (event: PointerEvent): void => {
    const brush = painting.current;
    const group = brush && groupAt(event);
    if (!brush || !group || brush.groups.has(group)) return;
    brush.groups.add(group);
    paint([...brush.groups], brush.trains);
  };
  const onPointerEnd = (): void => {
    painting.current = null;
  };
  /** Arrow keys go to the nearest cell in that direction, wherever the layout has put it. */
  const onKeyDown = (event: KeyboardEvent): void => {
    const here = (event.target as HTMLElement).closest<HTMLElement>('[data-group]');
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!here || !direction || !grid.current) return;
    event.preventDefault();
    nearest(here, direction as [number, number], grid.current)?.focus();
  };

  const cell = (each: MapCell | null, index: number, isFirst: boolean): React.ReactNode =>
    each === null ? (
      <span key={index} role="gridcell" />
    ) : (
      <FreezeMapCell
        key={each.group}
        cell={each}
        training={chosen.get(each.group) ?? 'frozen'}
        isChanged={diff.changed.includes(each.group)}
        drift={store.series.get(weightDrift(each.group))?.lastValue}
        most={most}
        isTabStop={isFirst}
        onToggle={() => !off && toggle([each.group])}
        compact={layout.layers.length > 10}
      />
    );
  const columnGroups = (column: number): string[] => layout.layers.flatMap(({ cells }) => cells[column]?.group ?? []);
  const rowGroups = (cells: (MapCell | null)[]): string[] => cells.flatMap((each) => each?.group ?? []);
  const whole = { tensors: parameters.length, size: sizeOf(parameters) };
  const names = resolved?.ok ? resolved.trainable : (trainable ?? []);
  const trains = { tensors: names.length, size: sizeOf(parameters, new Set(names)) };
  const applied = (store.latest('trainable_changed') ?? started).selection;
  const active = recipeOf(names, draft ?? applied, parameters);

  return (
    <div className="freeze-map">
      <div className="recipe-row" role="group" aria-label="Recipes">
        {recipes.map((recipe) => (
          <button
            key={recipe}
            type="button"
            className="button small"
            disabled={off !== '' || !resolveSelection({ kind: 'recipe', recipe }, parameters).ok}
            title={off || recipeWords[recipe].says}
            aria-pressed={active === recipe}
            onClick={() => setDraft({ kind: 'recipe', recipe })}
            data-testid={`recipe-${recipe}`}
          >
            {recipeWords[recipe].name}
          </button>
        ))}
      </div>
      <div
        ref={grid}
        className="map-grid"
        role="grid"
        aria-label="Parameter groups. Arrow keys move, space chooses."
        aria-readonly={off !== ''}
        data-off={off !== ''}
        data-compact={layout.layers.length > 10}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerEnd}
        onPointerLeave={onPointerEnd}
        onKeyDown={onKeyDown}
      >
        <div className="map-row map-heads" role="row">
          <span role="columnheader" className="map-corner">
            layer
          </span>
          {layout.columns.map(({ key, label }, column) => (
            <button
              key={key}
              type="button"
              role="columnheader"
              disabled={off !== ''}
              tabIndex={-1}
              title={`All ${label}`}
              onClick={() => toggle(columnGroups(column))}
            >
              {label}
            </button>
          ))}
        </div>
        {layout.layers.map(({ layer, label, cells }, row) => (
          <div className="map-row" role="row" key={`${layer} ${label}`}>
            <button
              type="button"
              role="rowheader"
              disabled={off !== ''}
              tabIndex={-1}
              title={`All of ${label.startsWith('+') ? `expert ${label} of ` : ''}layer ${layer}`}
              onClick={() => toggle(rowGroups(cells))}
            >
              {label}
            </button>
            {cells.map((each, column) => cell(each, column, row === 0 && column === 0))}
          </div>
        ))}
        <div className="map-others" role="row">
          {layout.others.map((each, index) => cell(each, index, layout.layers.length === 0 && index === 0))}
        </div>
      </div>
      <div className="map-key">
        {keyWords
          .filter(([training]) => training !== 'fixed' || [...now.values()].includes('fixed'))
          .map(([training, words]) => (
            <span key={training}>
              <i className="key-cell" data-training={training} />
              {words}
            </span>
          ))}
        <span>
          <i className="key-ramp" />
          drift 0 to {formatValue(most, 'ratio')}
        </span>
      </div>
      <PatternField parameters={parameters} off={off} pattern={pattern} onChange={choosePattern} />
      <div className="apply-row" data-dirty={diff.changed.length > 0}>
        <p className="apply-diff" data-testid="freeze-diff" role="status">
          {diff.changed.length > 0 ? (
            <>
              <b>
                {diff.changed.length} group{diff.changed.length === 1 ? ' changes' : 's change'}
              </b>
              <span>
                {[
                  diff.nowTrainable > 0 && `${diff.nowTrainable} will train`,
                  diff.nowFrozen > 0 && `${diff.nowFrozen} will freeze`,
                ]
                  .filter(Boolean)
                  .join(', ')}
                {trains.tensors === 0 ? '. Nothing would train: steps would change nothing.' : ''}
              </span>
            </>
          ) : (
            <>
              <b>{draft ? 'Nothing would change' : selectionWords(applied)}</b>
              <span>
                {trains.tensors === 0 ? 'Nothing trains: steps change nothing.' : `${amountWords(trains, whole)} train`}
              </span>
            </>
          )}
          {resolved && !resolved.ok && (
            <span className="outcome" data-state="failed">
              {resolved.reason}
            </span>
          )}
          {(!draft || record?.state !== 'applied') && <Outcome record={record} testId="outcome-trainable" />}
        </p>
        {draft && (
          <button type="button" className="button small" onClick={() => setDraft(null)} data-testid="freeze-discard">
            Discard
          </button>
        )}
        <button
          type="button"
          className="button primary"
          disabled={off !== '' || !draft || !resolved?.ok || diff.changed.length === 0 || isPending}
          title={off}
          onClick={() => draft && give({ kind: 'set_trainable', selection: draft })}
          data-testid="freeze-apply"
        >
          {isPending ? 'Applying …' : 'Apply'}
        </button>
      </div>
    </div>
  );
}

function sizeOf(parameters: readonly { name: string; size: number }[], names?: ReadonlySet<string>): number {
  return parameters.reduce((sum, { name, size }) => sum + (!names || names.has(name) ? size : 0), 0);
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
