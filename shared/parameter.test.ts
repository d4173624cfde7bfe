import { describe, expect, it } from 'vitest';
import { maxParameters } from './limits.js';
import { describeSelection, resolveSelection } from './selection.js';
import { ModelInfo, TrainableSelection, type ParameterGroup, type ParameterInfo } from './parameter.js';

const groups: ParameterGroup[] = [
  { name: 'tower', part: 'vision' },
  { name: 'bridge', part: 'projector' },
  { name: 'tokens', part: 'embedding' },
  ...[0, 1].flatMap((layer): ParameterGroup[] => [
    { name: `l${layer}.q`, part: 'language', layer, block: 'self_attn', projection: 'q_proj' },
    { name: `l${layer}.up`, part: 'language', layer, block: 'mlp', projection: 'up_proj' },
  ]),
];
const parameter = (name: string, group: string, more: Partial<ParameterInfo> = {}): ParameterInfo => ({
  ...{ name, shape: [2, 3], size: 6, group },
  ...more,
});
const parameters = [
  parameter('tower.mlp.weight', 'tower'),
  parameter('bridge.weight', 'bridge'),
  parameter('tokens.weight', 'tokens'),
  ...[0, 1].flatMap((layer) => [
    parameter(`text.${layer}.q.weight`, `l${layer}.q`),
    parameter(`text.${layer}.q.bias`, `l${layer}.q`, { shape: [3], size: 3 }),
    parameter(`text.${layer}.mlp.up.weight`, `l${layer}.up`),
  ]),
];
const recipes = [
  { name: 'attention', label: 'Attention', groups: ['l0.q', 'l1.q'] },
  { name: 'bridge', label: 'Bridge', groups: ['bridge'] },
  { name: 'nothing', label: 'Nothing', groups: [] },
];
const model: ModelInfo = { name: 'm', groups, parameters, recipes };

function trainable(selection: TrainableSelection, of = model): string[] {
  const resolved = resolveSelection(selection, of);
  if (!resolved.ok) throw new Error(resolved.reason);
  return resolved.trainable;
}
const reason = (selection: TrainableSelection, of = model): string => {
  const resolved = resolveSelection(selection, of);
  return resolved.ok ? '' : resolved.reason;
};

describe('resolveSelection', () => {
  it('looks a recipe up among the model’s own', () => {
    expect(trainable({ kind: 'recipe', recipe: 'attention' })).toEqual([
      'text.0.q.weight',
      'text.0.q.bias',
      'text.1.q.weight',
      'text.1.q.bias',
    ]);
    expect(trainable({ kind: 'recipe', recipe: 'nothing' })).toEqual([]);
  });
  it('refuses an unknown recipe with the names there are', () => {
    expect(reason({ kind: 'recipe', recipe: 'full' })).toBe(
      'This model has no recipe "full". It has attention, bridge, nothing.',
    );
    expect(reason({ kind: 'recipe', recipe: 'full' }, { ...model, recipes: [] })).toMatch(/It has none: choose groups/);
  });
  it('says how much of which part is hit', () => {
    expect(resolveSelection({ kind: 'pattern', pattern: '*.mlp.*, tokens.*' }, model)).toMatchObject({
      byPart: [
        { part: 'language', tensors: 2, size: 12 },
        { part: 'vision', tensors: 1, size: 6 },
        { part: 'embedding', tensors: 1, size: 6 },
      ],
      trainableSize: 24,
      totalSize: 8 * 6 + 2 * 3 - 6,
    });
  });
  it('leaves out what the method keeps fixed, and says so where nothing else was asked for', () => {
    const kept = new Set(['text.0.q.weight', 'text.0.q.bias', 'bridge.weight']);
    const adapted: ModelInfo = {
      ...model,
      parameters: [
        ...parameters.map((each) => ({ ...each, fixed: kept.has(each.name) })),
        parameter('text.0.q.lora_A', 'l0.q'),
      ],
    };
    for (const selection of [
      { kind: 'groups', groups: ['l0.q'] },
      { kind: 'pattern', pattern: 'text.0.q.*' },
    ] as const)
      expect(trainable(selection as unknown as TrainableSelection, adapted)).toEqual(['text.0.q.lora_A']);
    for (const selection of [
      { kind: 'groups', groups: ['bridge'] },
      { kind: 'pattern', pattern: 'bridge.*, tokens.*' },
    ] as const)
      expect(reason(selection as unknown as TrainableSelection, adapted)).toMatch(/keeps "bridge.*" as it is/);
    expect(reason({ kind: 'recipe', recipe: 'bridge' }, adapted)).toMatch(/hits no parameter that this run can train/);
  });
  it('takes exactly the named groups and refuses an unknown one by its name', () => {
    expect(trainable({ kind: 'groups', groups: ['l1.up'] })).toEqual(['text.1.mlp.up.weight']);
    expect(trainable({ kind: 'groups', groups: [] })).toEqual([]);
    expect(reason({ kind: 'groups', groups: ['l1.up', 'nowhere'] })).toBe(
      'This model has no parameter group "nowhere".',
    );
  });
  it('matches patterns with stars, whole names only, and several at once', () => {
    expect(trainable({ kind: 'pattern', pattern: 'text.*.mlp.*' })).toHaveLength(2);
    expect(trainable({ kind: 'pattern', pattern: '*.0.*up.weight, bridge.*' })).toEqual([
      'bridge.weight',
      'text.0.mlp.up.weight',
    ]);
    expect(reason({ kind: 'pattern', pattern: 'mlp' })).not.toBe('');
    // A dot is a dot, and a star may not reuse characters that the pieces around it have taken.
    expect(reason({ kind: 'pattern', pattern: 'bridgeXweight' })).not.toBe('');
    expect(reason({ kind: 'pattern', pattern: 'bridge.weight*weight' })).not.toBe('');
  });
  it('refuses a pattern of which one part hits nothing, and says which', () => {
    expect(reason({ kind: 'pattern', pattern: 'bridge.*, experts.*' })).toBe(
      'The pattern "experts.*" matches no parameter name.',
    );
  });
});

describe('ModelInfo', () => {
  const faults = (more: object): string[] =>
    ModelInfo.safeParse({ ...model, ...more }).error?.issues.map(({ message }) => message) ?? [];

  it('is taken as it was sent, null standing for none', () => {
    expect(ModelInfo.parse(model)).toEqual(model);
    const withNull = { ...groups[0]!, layer: null, block: null, projection: null, expert: null };
    expect(faults({ groups: [withNull, ...groups.slice(1)] })).toEqual([]);
  });
  it('says which group is not listed, and where it is named', () => {
    expect(faults({ groups: [] })).toEqual([
      'the parameter "tower.mlp.weight" names the group "tower", which is not in groups; add it there with its role',
    ]);
    expect(faults({ recipes: [{ name: 'r', label: 'R', groups: ['there'] }] })).toEqual([
      'the recipe "r" names the group "there", which is not in groups; add it there with its role',
    ]);
  });
  it('refuses two of one name', () => {
    expect(faults({ groups: [...groups, groups[0]] })).toEqual([
      'two groups are called "tower"; give each its own name',
    ]);
    expect(faults({ parameters: [...parameters, parameters[0]] })).toHaveLength(1);
    expect(faults({ recipes: [recipes[0], recipes[0]] })).toHaveLength(1);
  });
  it('takes names of 300 characters, and group names that a metric can carry', () => {
    expect(faults({ parameters: [parameter('x'.repeat(300), 'tower')] })).toEqual([]);
    expect(faults({ parameters: [parameter('x'.repeat(301), 'tower')] })).toHaveLength(1);
    expect(faults({ groups: [...groups, { name: 'a b', part: 'other' }] })).toHaveLength(1);
  });
  it('takes 50,000 parameters in as many groups, and a selection of them all', () => {
    const many = Array.from({ length: maxParameters }, (_, i) => `model.layers.${i}.mlp.experts.0.up_proj`);
    const large: ModelInfo = {
      name: 'm',
      groups: many.map((name) => ({ name, part: 'language' })),
      parameters: many.map((name) => parameter(`${name}.weight`, name)),
      recipes: [{ name: 'all', label: 'All', groups: many }],
    };
    expect(ModelInfo.safeParse(large).success).toBe(true);
    const selection = TrainableSelection.parse({ kind: 'groups', groups: many });
    expect(trainable(selection, large)).toHaveLength(maxParameters);
    expect(trainable({ kind: 'recipe', recipe: 'all' }, large)).toHaveLength(maxParameters);
    expect(trainable({ kind: 'pattern', pattern: '*.mlp.*' }, large)).toHaveLength(maxParameters);
  });
});

describe('describeSelection', () => {
  it('counts one group as one', () => {
    expect(describeSelection({ kind: 'groups', groups: ['l0.q'] })).toBe('1 group');
    expect(describeSelection({ kind: 'groups', groups: ['l0.q', 'l1.q'] })).toBe('2 groups');
  });
});
