import { weightDrift } from '@plumbline/shared/metric';
import { parts, type ModelInfo, type Part } from '@plumbline/shared/parameter';
import type { ChartSeries } from '../../charts/chart-types';
import { joinColumns, mostOf, type Columns } from '../../charts/columns';
import { categorical, type ChartColor } from '../../charts/palette';
import { blockName, layOut, type MapCell, type MapColumn, type ModelMap } from '../../lib/model-map';
import type { RunStore } from '../../lib/run-store';

/** Groups that share a colour: a projection over all layers, the vision tower, or the rest. */
export interface DriftKind {
  key: string;
  label: string;
  color: ChartColor;
}
/** One line of the chart. */
export interface DriftLine {
  kind: DriftKind;
  label: string;
  groups: readonly string[];
}
export interface DriftKinds {
  kinds: readonly DriftKind[];
  lines: readonly DriftLine[];
}

const rest: DriftKind = { key: 'rest', label: 'other groups', color: 'slate' };
const tower: DriftKind = { key: 'vision', label: 'vision', color: categorical.at(-1)! };

/**
 * The lines of a model's weight drift. Each projection of the language model has one colour over all layers, so that the
 * chart of a deep model still shows which kind of weight moves. The vision tower has one colour, small groups are grey. The
 * experts of a layer are one line.
 */
export function driftKinds(model: Pick<ModelInfo, 'groups' | 'parameters'>): DriftKinds {
  const map = layOut(model);
  const coloured = colouredColumns(map);
  const lines = map.sections.flatMap(({ part, columns, rows }) =>
    rows.flatMap(({ layer, cells }) =>
      cells.flatMap((cell, index): DriftLine[] => {
        if (!cell) return [];
        const column = columns[index]!;
        const kind = part === 'language' ? coloured.get(column.key) : part === 'vision' ? tower : undefined;
        return [{ kind: kind ?? rest, label: lineLabel(part, layer, column), groups: cell.groups }];
      }),
    ),
  );
  const partOf = new Map(model.groups.map(({ name, part }) => [name, part]));
  for (const { label, groups } of map.others)
    lines.push({ kind: partOf.get(groups[0]!) === 'vision' ? tower : rest, label, groups });
  const used = new Set(lines.map(({ kind }) => kind));
  return { kinds: [...coloured.values(), tower, rest].filter((kind) => used.has(kind)), lines };
}

/** The largest projections of the language model, as many as there are distinct colours, in the order of the map. */
function colouredColumns({ sections }: ModelMap): Map<string, DriftKind> {
  const language = sections.find(({ part }) => part === 'language');
  if (!language) return new Map();
  const sizeOf = (index: number): number =>
    language.rows.reduce((sum, { cells }) => sum + ((cells[index] as MapCell | null)?.size ?? 0), 0);
  const sized = language.columns
    .map((column, index) => ({ column, index, size: sizeOf(index) }))
    .filter(({ column }) => column.block !== 'norms')
    .sort((a, b) => b.size - a.size)
    .slice(0, categorical.length - 1)
    .sort((a, b) => a.index - b.index);
  return new Map(
    sized.map(({ column }, index) => [
      column.key,
      { key: column.key, label: columnLabel(column), color: categorical[index]! },
    ]),
  );
}

const columnLabel = ({ label, ofExperts }: MapColumn): string => (ofExperts ? `experts’ ${label}` : label);
const lineLabel = (part: Part, layer: number, column: MapColumn): string =>
  [part === parts[0] ? '' : part, `layer ${layer}`, blockName(column.block), columnLabel(column)]
    .filter((word, index, words) => word !== '' && words.indexOf(word) === index)
    .join(' ');

/** The most series in one chart. */
const mostDrawn = 1000;

/** The first lines that fit into one chart, and their series. */
export function drawnTogether(lines: readonly DriftLine[]): { lines: readonly DriftLine[]; names: string[] } {
  const names: string[] = [];
  for (const [index, { groups }] of lines.entries()) {
    if (index > 0 && names.length + groups.length > mostDrawn) return { lines: lines.slice(0, index), names };
    names.push(...groups.map(weightDrift));
  }
  return { lines, names };
}

/** Weight drift as lines; a line of several groups shows the largest. */
export function driftSeries(store: RunStore, { lines }: DriftKinds): ChartSeries[] {
  return lines.flatMap(({ kind, label, groups }): ChartSeries[] => {
    const columns = together(groups.flatMap((group) => store.series.get(weightDrift(group)) ?? []));
    const past = together(groups.flatMap((group) => store.courseBefore(weightDrift(group)) ?? []));
    if (columns.length === 0 && past.length === 0) return [];
    return [
      {
        id: groups[0]!,
        label,
        columns,
        ...(past.length > 0 && { past }),
        color: kind.color,
        quiet: kind === rest || kind === tower,
      },
    ];
  });
}

const none: Columns = joinColumns([]);
/** Computed again only when one of them has grown. */
const made = new WeakMap<Columns, { length: number; most: Columns }>();
function together(all: readonly Columns[]): Columns {
  const [first] = all;
  if (!first) return none;
  if (all.length === 1) return first;
  const length = all.reduce((sum, columns) => sum + columns.length, 0);
  const known = made.get(first);
  if (known?.length === length) return known.most;
  const most = mostOf(all);
  made.set(first, { length, most });
  return most;
}
