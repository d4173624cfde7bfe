import { describe, expect, it } from 'vitest';
import type { ParameterInfo } from '@plumbline/shared/parameter';
import { describeModel } from '../../server/trainer/models/parameter-roles';
import { mixture, qwen25Vl7b } from '../../test/support/real-models';
import { layOut, type MapCell, type ModelMap } from './model-map';

const made = (names: readonly string[], fixed: (name: string) => boolean = () => false) =>
  describeModel(
    'm',
    names.map((name): Omit<ParameterInfo, 'group'> => ({ name, shape: [4, 4], size: 16, fixed: fixed(name) })),
  );
const cellsOf = ({ sections, others }: ModelMap): MapCell[] => [
  ...sections.flatMap(({ rows }) => rows.flatMap(({ cells }) => cells.flatMap((cell) => cell ?? []))),
  ...others,
];
const heads = ({ sections }: ModelMap, part: string): string[] =>
  sections.find((section) => section.part === part)!.columns.map(({ label }) => label);

describe('a 28-layer Qwen2.5-VL by its real names', () => {
  const model = describeModel('qwen', qwen25Vl7b());
  const map = layOut(model);

  it('has the layers of its decoder and its vision tower, each with its projections', () => {
    expect(map.sections.map(({ part, rows }) => [part, rows.length])).toEqual([
      ['language', 28],
      ['vision', 32],
    ]);
    expect(heads(map, 'language')).toEqual(['q', 'k', 'v', 'o', 'gate', 'up', 'down', 'norms']);
    expect(heads(map, 'vision')).toEqual(['qkv', 'proj', 'gate', 'up', 'down', 'norms']);
    expect(map.sections.every(({ rows }) => rows.every(({ cells }) => cells.every((cell) => cell !== null)))).toBe(
      true,
    );
    expect(map.sections[0]!.rows[27]!.cells[0]).toEqual({
      id: 'language_model.layers.27.self_attn.q_proj',
      groups: ['language_model.layers.27.self_attn.q_proj'],
      label: 'q',
      size: 3584 * 3584 + 3584,
    });
  });
  it('has the rest beside them, under distinct names', () => {
    expect(map.others.map(({ label }) => label)).toEqual([
      'vision embeddings',
      'projector',
      'embeddings',
      'norms',
      'head',
    ]);
  });
  it('shows every group once', () => {
    const shown = cellsOf(map).flatMap(({ groups }) => groups);
    expect(shown).toHaveLength(model.groups.length);
    expect(new Set(shown)).toEqual(new Set(model.groups.map(({ name }) => name)));
  });
});

it('lays fused projections out as they are', () => {
  const map = layOut(made(['model.layers.0.self_attn.qkv_proj.weight', 'model.layers.0.mlp.gate_up_proj.weight']));
  expect(heads(map, 'language')).toEqual(['qkv', 'gate up']);
});

it('folds the experts of a layer into one cell a projection, and lists them one by one below', () => {
  const model = describeModel('moe', mixture(3, 128));
  const map = layOut(model);
  expect(map.sections).toHaveLength(1);
  const [{ columns, rows }] = map.sections as [ModelMap['sections'][number]];
  expect(columns.map(({ label, ofExperts }) => (ofExperts ? `expert ${label}` : label))).toEqual([
    ...['q', 'k', 'v', 'o', 'q norm', 'k norm', 'router', 'expert gate', 'expert up', 'expert down', 'norms'],
  ]);
  const folded = rows[2]!.cells[8]!;
  expect(folded).toMatchObject({ label: 'up', size: 128 * 768 * 2048 });
  expect(folded.groups).toHaveLength(128);
  expect(rows[2]!.experts).toHaveLength(128);
  expect(rows[2]!.experts[7]!.cells.map((cell) => cell?.groups ?? null)).toEqual([
    ...[null, null, null, null, null, null, null],
    ...['gate', 'up', 'down'].map((name) => [`language_model.layers.2.mlp.experts.7.${name}_proj`]),
    null,
  ]);
  const shown = cellsOf(map).flatMap(({ groups }) => groups);
  expect(shown).toHaveLength(model.groups.length);
});

it('shows a projection with adapters by the adapters’ size, and others by their own', () => {
  const q = 'model.layers.0.self_attn.q_proj';
  const map = layOut(
    made(
      [`${q}.weight`, `${q}.lora_A.weight`, `${q}.lora_B.weight`, 'lm_head.weight'],
      (name) => !name.includes('lora'),
    ),
  );
  expect(map.sections[0]!.rows[0]!.cells[0]!.size).toBe(32);
  expect(map.others[0]!.size).toBe(16);
});

it('draws tens of thousands of groups without a place as one cell', () => {
  const map = layOut(made(Array.from({ length: 50_000 }, (_, index) => `something.${index}.weight`)));
  expect(map.others.map(({ label, groups }) => [label, groups.length])).toEqual([['other: 50000 groups', 50_000]]);
});
