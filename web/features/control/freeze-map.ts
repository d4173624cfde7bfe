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
  /** Of what can be trained, where that is not all of it: of a projection with adapters, theirs. */
  size: number;
}
export interface FreezeMapLayout {
  columns: readonly { key: string; label: string }[];
  /** Decoder layers, first at the top, each followed by its experts if it has any; null where one has no such group. */
  layers: { layer: number; label: string; cells: (MapCell | null)[] }[];
  /** Groups outside the layers, in the model's order. */
  others: MapCell[];
}
/** `fixed`: the run's method keeps it, whatever is chosen. */
export type Training = 'trainable' | 'frozen' | 'partly' | 'fixed';

const columns = [
  ...layerProjections.map((key) => ({ key: key as string, label: key.replace('_proj', '') })),
  { key: 'norms', label: 'norms' },
];
const routerColumn = { key: 'router', label: 'router' };

/** Lays the parameter groups of a model out as layers by projections, and the rest beside them. */
export function layOut(parameters: readonly ParameterInfo[]): FreezeMapLayout {
  const sizes = new Map<string, { all: number; free: number }>();
  for (const { group, size, fixed } of parameters) {
    const { all, free } = sizes.get(group) ?? { all: 0, free: 0 };
    sizes.set(group, { all: all + size, free: free + (fixed ? 0 : size) });
  }
  const hasRouter = [...sizes.keys()].some((group) => group.endsWith('.router'));
  const shown = hasRouter ? [...columns, routerColumn] : columns;
  const layers = new Map<string, FreezeMapLayout['layers'][number]>();
  const others: MapCell[] = [];
  for (const [group, { all, free }] of sizes) {
    const size = free || all;
    const inLayer = /^language_model\.layers\.(\d+)\.(?:mlp\.experts\.(\d+)\.|\w+\.)?(\w+)$/.exec(group);
    const [, layer, expert, projection] = inLayer ?? [];
    const column = shown.findIndex(({ key }) => key === projection);
    if (!layer || column < 0) {
      others.push({ group, label: group.replace(/^language_model\./, '').replace(/^layers\./, 'layer '), size });
      continue;
    }
    const label = expert === undefined ? layer : `+${Number(expert) + 1}`;
    const row = layers.get(`${layer} ${label}`) ?? { layer: Number(layer), label, cells: shown.map(() => null) };
    row.cells[column] = { group, label: shown[column]!.label, size };
    layers.set(`${layer} ${label}`, row);
  }
  // Stable, and a layer's own groups come before its experts' in the model.
  const sorted = [...layers.values()].sort((a, b) => a.layer - b.layer);
  return { columns: shown, layers: sorted, others };
}

/** How much of what can be trained of each group does, given the names of the parameters that do. */
export function trainingByGroup(
  parameters: readonly ParameterInfo[],
  trainable: Iterable<string>,
): Map<string, Training> {
  const trains = new Set(trainable);
  const training = new Map<string, Training>();
  for (const { name, group, fixed } of parameters) {
    const here: Training = fixed ? 'fixed' : trains.has(name) ? 'trainable' : 'frozen';
    const before = training.get(group) ?? 'fixed';
    // What is fixed says nothing of the group's other parts.
    training.set(group, before === 'fixed' ? here : here === 'fixed' || before === here ? before : 'partly');
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
    now !== 'fixed' && (painted.has(group) ? trains : now !== 'frozen') ? [group] : [],
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
