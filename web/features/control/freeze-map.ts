import {
  layerProjections,
  recipes,
  resolveSelection,
  type ParameterInfo,
  type Recipe,
  type TrainableSelection,
} from '@plumbline/shared/parameter';
import { formatCount } from '../../charts/format';

/** One parameter group: what is frozen, drawn and chosen as one. */
export interface MapCell {
  group: string;
  /** Column's name in a layer, the group's own name elsewhere. */
  label: string;
  size: number;
}
export interface FreezeMapLayout {
  columns: readonly { key: string; label: string }[];
  /** Decoder layers, first at the top; null where a layer has no such group. */
  layers: { layer: number; cells: (MapCell | null)[] }[];
  /** Groups outside the layers, in the model's order. */
  others: MapCell[];
}
export type Training = 'trainable' | 'frozen' | 'partly';

const columns = [
  ...layerProjections.map((key) => ({ key: key as string, label: key.replace('_proj', '') })),
  { key: 'norms', label: 'norms' },
];

/** Lays the parameter groups of a model out as layers by projections, and the rest beside them. */
export function layOut(parameters: readonly ParameterInfo[]): FreezeMapLayout {
  const sizes = new Map<string, number>();
  for (const { group, size } of parameters) sizes.set(group, (sizes.get(group) ?? 0) + size);
  const layers = new Map<number, (MapCell | null)[]>();
  const others: MapCell[] = [];
  for (const [group, size] of sizes) {
    const inLayer = /^language_model\.layers\.(\d+)\.(?:\w+\.)?(\w+)$/.exec(group);
    const column = columns.findIndex(({ key }) => key === inLayer?.[2]);
    if (!inLayer || column < 0) {
      others.push({ group, label: group.replace(/^language_model\./, '').replace(/^layers\./, 'layer '), size });
      continue;
    }
    const layer = Number(inLayer[1]);
    const cells = layers.get(layer) ?? columns.map(() => null);
    cells[column] = { group, label: columns[column]!.label, size };
    layers.set(layer, cells);
  }
  const sorted = [...layers].sort(([a], [b]) => a - b).map(([layer, cells]) => ({ layer, cells }));
  return { columns, layers: sorted, others };
}

/** How much of each group trains, given the names of the parameters that do. */
export function trainingByGroup(
  parameters: readonly ParameterInfo[],
  trainable: Iterable<string>,
): Map<string, Training> {
  const trains = new Set(trainable);
  const training = new Map<string, Training>();
  for (const { name, group } of parameters) {
    const here: Training = trains.has(name) ? 'trainable' : 'frozen';
    const before = training.get(group);
    training.set(group, before === undefined || before === here ? here : 'partly');
  }
  return training;
}

/** The selection after the groups in `painted` were set to train or not, starting from what is chosen now. */
export function paintGroups(
  training: ReadonlyMap<string, Training>,
  painted: ReadonlySet<string>,
  trains: boolean,
): TrainableSelection {
  // A group that trains in part is kept as a whole: groups are the unit of this selection.
  const groups = [...training].flatMap(([group, now]) =>
    (painted.has(group) ? trains : now !== 'frozen') ? [group] : [],
  );
  return { kind: 'groups', groups };
}

export interface SelectionDiff {
  /** Groups whose training differs, in the model's order. */
  changed: string[];
  nowTrainable: number;
  nowFrozen: number;
}
/** What applying a draft would change, group by group. */
export function diffTraining(
  before: ReadonlyMap<string, Training>,
  after: ReadonlyMap<string, Training>,
): SelectionDiff {
  const changed = [...after].flatMap(([group, now]) => (before.get(group) === now ? [] : [group]));
  return {
    changed,
    nowTrainable: changed.filter((group) => after.get(group) !== 'frozen').length,
    nowFrozen: changed.filter((group) => after.get(group) === 'frozen').length,
  };
}

/** The recipe that trains exactly these parameters; where two do, the one that was chosen. */
export function recipeOf(
  trainable: readonly string[],
  chosen: TrainableSelection | undefined,
  parameters: readonly ParameterInfo[],
): Recipe | undefined {
  if (chosen?.kind === 'recipe') return chosen.recipe;
  const wanted = new Set(trainable);
  return recipes.find((recipe) => {
    const resolved = resolveSelection({ kind: 'recipe', recipe }, parameters);
    return (
      resolved.ok && resolved.trainable.length === wanted.size && resolved.trainable.every((name) => wanted.has(name))
    );
  });
}

/** How much trains, in the words used everywhere: `40 tensors, 466k parameters`, or of how many. */
export function amountWords(
  { tensors, size }: { tensors: number; size: number },
  of?: { tensors: number; size: number },
): string {
  if (of) return `${tensors} of ${of.tensors} tensors, ${formatCount(size)} of ${formatCount(of.size)} parameters`;
  return `${tensors} tensor${tensors === 1 ? '' : 's'}, ${formatCount(size)} parameters`;
}

/** The parameters that a pattern hits, as a preview, or why it hits none and what would. */
export function previewPattern(
  pattern: string,
  parameters: readonly ParameterInfo[],
): { ok: true; names: string[]; size: number } | { ok: false; reason: string } {
  if (pattern.trim() === '') return { ok: false, reason: 'Type names; * stands for anything, commas separate.' };
  if (pattern.length > 200) return { ok: false, reason: 'At most 200 characters.' };
  const resolved = resolveSelection({ kind: 'pattern', pattern }, parameters);
  if (resolved.ok) return { ok: true, names: resolved.trainable, size: resolved.trainableSize };
  const widened = widenPattern(pattern, parameters);
  return { ok: false, reason: widened ? `${resolved.reason.replace(/\.$/, '')}: try ${widened}` : resolved.reason };
}

/** The pattern with stars around the parts that hit nothing, where that hits something. */
function widenPattern(pattern: string, parameters: readonly ParameterInfo[]): string | null {
  const hits = (part: string): boolean => resolveSelection({ kind: 'pattern', pattern: part }, parameters).ok;
  const parts = pattern.split(',').map((part) => part.trim());
  const widened = parts.map((part) => (part === '' || hits(part) ? part : `*${part.replace(/^\*+|\*+$/g, '')}*`));
  return widened.every((part) => part !== '' && part !== '**' && hits(part)) ? widened.join(', ') : null;
}
