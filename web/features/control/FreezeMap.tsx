'use client';
import { useEffect, useMemo, useState } from 'react';
import { trainerTakes } from '@plumbline/shared/taken-commands';
import { isMeasured, weightDrift } from '@plumbline/shared/metric';
import { describeParts, resolveSelection } from '@plumbline/shared/selection';
import type { ModelInfo, TrainableSelection } from '@plumbline/shared/parameter';
import { formatValue } from '../../charts/format';
import { layOut } from '../../lib/model-map';
import { recipeHint, selectionWords } from '../../lib/words';
import { useLastValues, useRun } from '../live/use-run';
import {
  amountWords,
  diffTraining,
  paintGroups,
  previewPattern,
  recipeOf,
  resolveRecipes,
  trainingByGroup,
  type Training,
} from './freeze-map';
import { expectedSeries } from '../../lib/expected-series';
import { FreezeMapGrid } from './FreezeMapGrid';
import { Outcome } from './Outcome';
import { PatternField } from './PatternField';
import { useCommand, useControlsOff } from './use-command';

const noModel: ModelInfo = { name: '', groups: [], parameters: [], recipes: [] };
/** The weight drift of all groups. */
const driftGroup = [weightDrift('*')];
const keyWords: readonly [Training, string][] = [
  ['trainable', 'trainable'],
  ['partly', 'in part'],
  ['frozen', 'frozen'],
  ['fixed', 'kept by the method'],
];

/** Shows which parts of the model train. They are chosen by click, drag, keys, recipe or name, and applied with one button. */
export function FreezeMap(): React.ReactNode {
  const { store } = useRun();
  const hasDrift = [...expectedSeries(store)].some((name) => name.startsWith(weightDrift('')));
  useLastValues(driftGroup, hasDrift);
  const controlsOff = useControlsOff();
  const takes = trainerTakes(store.runSummary ?? {}, 'set_trainable');
  const off = controlsOff || (takes ? '' : 'The trainer of this run does not change what it trains.');
  const { give, record, isPending } = useCommand();
  const [draft, setDraftSelection] = useState<TrainableSelection | null>(null);
  const [pattern, setPattern] = useState('');

  /** The last way of choosing counts: it clears what another way left behind. */
  const setDraft = (selection: TrainableSelection | null): void => {
    setDraftSelection(selection);
    setPattern('');
  };
  const choosePattern = (text: string): void => {
    setPattern(text);
    const hits = previewPattern(text, model).ok;
    setDraftSelection(hits ? { kind: 'pattern', pattern: text } : null);
  };

  const started = store.latest('run_started');
  const model = started?.model ?? noModel;
  const { parameters } = model;
  const trainable = store.trainable;
  const map = useMemo(() => layOut(model), [model]);
  const recipes = useMemo(() => resolveRecipes(model), [model]);
  const now = useMemo(() => trainingByGroup(parameters, trainable ?? []), [parameters, trainable]);
  const resolved = useMemo(() => (draft ? resolveSelection(draft, model) : null), [draft, model]);
  const chosen = useMemo(
    () => (resolved?.ok ? trainingByGroup(parameters, resolved.trainable) : now),
    [resolved, parameters, now],
  );
  const diff = useMemo(() => diffTraining(now, chosen), [now, chosen]);
  const whole = useMemo(() => ({ tensors: parameters.length, size: sizeOf(parameters) }), [parameters]);
  const names = useMemo(() => (resolved?.ok ? resolved.trainable : (trainable ?? [])), [resolved, trainable]);
  const trains = useMemo(
    () => ({ tensors: names.length, size: sizeOf(parameters, new Set(names)) }),
    [names, parameters],
  );
  const applied = (store.latest('trainable_changed') ?? started)?.selection;
  const active = useMemo(() => recipeOf(names, draft ?? applied, recipes), [names, draft, applied, recipes]);
  const done = record?.state === 'applied' ? record.commandId : null;
  useEffect(() => {
    if (!done) return;
    setDraftSelection(null);
    setPattern('');
  }, [done]);

  if (!started)
    return <p className="map-empty">The map appears when the trainer has said what the model is made of.</p>;

  const driftOf = (groups: readonly string[]): number | undefined => {
    let most: number | undefined;
    for (const group of groups) {
      const drift = store.series.get(weightDrift(group))?.lastValue;
      if (drift !== undefined && !(most !== undefined && drift <= most)) most = drift;
    }
    return most;
  };
  const most = Math.max(0.001, ...[...now.keys()].map((group) => driftOf([group]) ?? 0).filter(isMeasured));

  return (
    <div className="freeze-map">
      <div className="recipe-row" role="group" aria-label="Recipes">
        {recipes.map(({ name, label, trainable: hits }) => (
          <button
            key={name}
            type="button"
            className="button small"
            disabled={off !== '' || hits === null}
            title={off || recipeHint(name)}
            aria-pressed={active === name}
            onClick={() => setDraft({ kind: 'recipe', recipe: name })}
            data-testid={`recipe-${name}`}
          >
            {label}
          </button>
        ))}
      </div>
      <FreezeMapGrid
        map={map}
        training={chosen}
        changed={diff.changed}
        driftOf={driftOf}
        most={most}
        off={off}
        onPaint={(groups, trains) => setDraft(paintGroups(chosen, new Set(groups), trains))}
      />
      <div className="map-key">
        {keyWords
          .filter(([training]) => training !== 'fixed' || [...now.values()].includes('fixed'))
          .map(([training, words]) => (
            <span key={training}>
              <i className="key-cell" data-training={training} />
              {words}
            </span>
          ))}
        {hasDrift && (
          <span>
            <i className="key-ramp" />
            drift 0 to {formatValue(most, 'ratio')}
          </span>
        )}
      </div>
      <PatternField model={model} off={off} pattern={pattern} onChange={choosePattern} />
      <div className="apply-row" data-dirty={diff.changed.size > 0}>
        <p className="apply-diff" data-testid="freeze-diff" role="status">
          {diff.changed.size > 0 ? (
            <>
              <b>
                {diff.changed.size} group{diff.changed.size === 1 ? ' changes' : 's change'}
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
              {draft?.kind !== 'pattern' && resolved?.ok && trains.tensors > 0 && (
                <span>Hits {describeParts(resolved.byPart)}.</span>
              )}
            </>
          ) : (
            <>
              <b>{draft ? 'Nothing would change' : applied ? selectionWords(applied, recipes) : ''}</b>
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
          disabled={off !== '' || !draft || !resolved?.ok || diff.changed.size === 0 || isPending}
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
