import { expect, it } from 'vitest';
import { rebaseRules } from './rebase-rules';
import { presets, type RuleForm } from './rule-form';

const rule = (name: string, limit = '1'): RuleForm => ({ ...presets[2]!.rule, name, limit });
const names = (rules: RuleForm[]) => rules.map(({ name, limit }) => `${name} ${limit}`);
const before = [rule('a'), rule('b')];

it.each<[string, RuleForm[], RuleForm[], string[]]>([
  ['both add', [...before, rule('mine')], [...before, rule('theirs')], ['a 1', 'b 1', 'theirs 1', 'mine 1']],
  ['both add under one name', [...before, rule('c', '2')], [...before, rule('c')], ['a 1', 'b 1', 'c 1', 'c 2 2']],
  ['both add the same', [...before, rule('c')], [...before, rule('c')], ['a 1', 'b 1', 'c 1']],
  ['each changes one', [rule('a', '2'), rule('b')], [rule('a'), rule('b', '3')], ['a 2', 'b 3']],
  ['both change one', [rule('a', '2'), rule('b')], [rule('a', '3'), rule('b')], ['a 3', 'b 1', 'a 2 2']],
  ['each removes one', [rule('a')], [rule('b')], []],
  ['one changes what the other removes', [rule('a', '2'), rule('b')], [rule('b')], ['b 1', 'a 2']],
  ['one is renamed', [rule('c'), rule('b')], [...before, rule('d')], ['b 1', 'd 1', 'c 1']],
  ['nothing is changed', before, [rule('d')], ['d 1']],
])('where %s', (_, mine, now, expected) => {
  expect(names(rebaseRules(mine, { before, now }))).toEqual(expected);
});
