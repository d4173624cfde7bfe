import type { ModelInfo, ParameterGroup, Part } from '@plumbline/shared/parameter';
import { parts } from '@plumbline/shared/parameter';
import { entryOf } from '@plumbline/shared/record';

/** A cell of the map: one group, or several that share a place, such as a layer's experts. */
export interface MapCell {
  /** The group's name; of several the first name and the number of others. */
  id: string;
  groups: readonly string[];
  /** Its name beside the map: the column's name, or its own outside of layers. */
  label: string;
  /** The scalars that can train. Of a projection with adapters, only the adapters count. */
  size: number;
}
/** One kind of weight: a projection of a block. */
export interface MapColumn {
  key: string;
  block: string;
  label: string;
  /** Whether each cell holds the experts of a layer. */
  ofExperts: boolean;
}
export interface MapRow {
  layer: number;
  /** Cells by column; null if the layer has no such weight. */
  cells: readonly (MapCell | null)[];
  /** The layer's experts one by one, in the same columns; empty if it has none. */
  experts: readonly { expert: number; cells: readonly (MapCell | null)[] }[];
}
/** The layers of one part of the model, first at the top. */
export interface MapSection {
  part: Part;
  columns: readonly MapColumn[];
  rows: readonly MapRow[];
}
export interface ModelMap {
  sections: readonly MapSection[];
  /** Groups outside of layers, in the model's order. */
  others: readonly MapCell[];
}

/** Known blocks and projections come in this order, others after them in the model's order. */
const usualBlocks = ['self_attn', 'mlp'];
const usualProjections = [
  ...['q_proj', 'k_proj', 'v_proj', 'qkv_proj', 'qkv', 'o_proj', 'out_proj', 'proj'],
  ...['router', 'gate_proj', 'up_proj', 'gate_up_proj', 'fc1', 'down_proj', 'fc2'],
];
const blockWords: Readonly<Record<string, string>> = { self_attn: 'attention', mlp: 'MLP' };
export const blockName = (block: string): string => entryOf(blockWords, block) ?? block.replaceAll('_', ' ');
const projectionName = (projection: string): string => projection.replace(/_proj$/, '').replaceAll('_', ' ');

/** If a part has more groups than this outside of layers, they are one cell. */
const mostLoose = 24;

type Sizes = ReadonlyMap<string, { all: number; free: number }>;

/** Lays out the groups of a model by their roles: a grid of layers and projections for each part, and the rest beside it. */
export function layOut({ groups, parameters }: Pick<ModelInfo, 'groups' | 'parameters'>): ModelMap {
  const sizes = new Map<string, { all: number; free: number }>();
  for (const { group, size, fixed } of parameters) {
    const { all, free } = sizes.get(group) ?? { all: 0, free: 0 };
    sizes.set(group, { all: all + size, free: free + (fixed ? 0 : size) });
  }
  const inLayers = groups.filter(hasLayer);
  const sections = parts.flatMap((part): MapSection[] => {
    const own = inLayers.filter((group) => group.part === part);
    return own.length === 0 ? [] : [section(part, own, sizes)];
  });
  return {
    sections,
    others: loose(
      groups.filter((group) => !hasLayer(group)),
      sizes,
    ),
  };
}

const hasLayer = ({ layer }: ParameterGroup): boolean => layer !== undefined && layer !== null;
const isExpert = ({ expert }: ParameterGroup): boolean => expert !== undefined && expert !== null;

function section(part: Part, groups: readonly ParameterGroup[], sizes: Sizes): MapSection {
  const columns = columnsOf(groups);
  const place = new Map(columns.map(({ key }, index) => [key, index]));
  const layers = new Map<number, { own: ParameterGroup[][]; experts: Map<number, ParameterGroup[][]> }>();
  const blank = (): ParameterGroup[][] => columns.map(() => []);
  for (const group of groups) {
    const layer = layers.get(group.layer!) ?? { own: blank(), experts: new Map<number, ParameterGroup[][]>() };
    layers.set(group.layer!, layer);
    const column = place.get(keyOf(group))!;
    layer.own[column]!.push(group);
    if (!isExpert(group)) continue;
    const expert = layer.experts.get(group.expert!) ?? blank();
    layer.experts.set(group.expert!, expert);
    expert[column]!.push(group);
  }
  const cells = (byColumn: readonly ParameterGroup[][]): (MapCell | null)[] =>
    byColumn.map((each, column) => (each.length === 0 ? null : cellOf(each, columns[column]!.label, sizes)));
  const rows = [...layers]
    .sort(([a], [b]) => a - b)
    .map(([layer, { own, experts }]) => ({
      layer,
      cells: cells(own),
      experts: [...experts].sort(([a], [b]) => a - b).map(([expert, of]) => ({ expert, cells: cells(of) })),
    }));
  return { part, columns, rows };
}

const keyOf = (group: ParameterGroup): string =>
  `${group.block ?? ''}/${isExpert(group) ? 'expert ' : ''}${group.projection ?? ''}`;

function columnsOf(groups: readonly ParameterGroup[]): MapColumn[] {
  const found = new Map<string, MapColumn & { projection: string }>();
  for (const group of groups) {
    const key = keyOf(group);
    if (found.has(key)) continue;
    const { block, projection } = group;
    const label = projection ? projectionName(projection) : blockName(block ?? 'layer');
    found.set(key, {
      ...{ key, block: block ?? '', label, ofExperts: isExpert(group), projection: projection ?? '' },
    });
  }
  const blocks = [...new Set([...found.values()].map(({ block }) => block))];
  const blockOrder = [...usualBlocks, ...blocks.filter((block) => block !== 'norms'), 'norms'];
  const rank = (projection: string): number => {
    const usual = usualProjections.indexOf(projection);
    return usual < 0 ? usualProjections.length : usual;
  };
  // A stable sort: unknown names stay in the model's order.
  return [...found.values()]
    .sort(
      (a, b) =>
        blockOrder.indexOf(a.block) - blockOrder.indexOf(b.block) ||
        Number(a.ofExperts) - Number(b.ofExperts) ||
        rank(a.projection) - rank(b.projection),
    )
    .map(({ projection: _, ...column }) => column);
}

function cellOf(groups: readonly ParameterGroup[], label: string, sizes: Sizes): MapCell {
  const [first, ...others] = groups;
  let [all, free] = [0, 0];
  for (const { name } of groups) {
    all += sizes.get(name)?.all ?? 0;
    free += sizes.get(name)?.free ?? 0;
  }
  return {
    id: others.length === 0 ? first!.name : `${first!.name} +${others.length}`,
    groups: groups.map(({ name }) => name),
    label,
    size: free || all,
  };
}

function loose(groups: readonly ParameterGroup[], sizes: Sizes): MapCell[] {
  const byPart = new Map(parts.map((part) => [part, groups.filter((group) => group.part === part)]));
  const labels = groups.map(looseLabel);
  return groups.flatMap((group, index): MapCell[] => {
    const own = byPart.get(group.part)!;
    if (own.length > mostLoose)
      return group === own[0] ? [cellOf(own, `${group.part}: ${own.length} groups`, sizes)] : [];
    const isOnly = labels.indexOf(labels[index]!) === labels.lastIndexOf(labels[index]!);
    return [cellOf([group], isOnly ? labels[index]! : group.name, sizes)];
  });
}

function looseLabel({ name, part, block, projection }: ParameterGroup): string {
  if (part === 'other') return name;
  const detail = (projection ?? block ?? '').replaceAll('_', ' ');
  if (part === 'embedding') return detail || 'embeddings';
  return part === 'language' ? detail || part : `${part} ${detail}`.trimEnd();
}
