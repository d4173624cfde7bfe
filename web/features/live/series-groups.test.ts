import { expect, it } from 'vitest';
import { groupsOf, isLearningRate } from './series-groups';

it('groups series by the prefix of their names', () => {
  expect(groupsOf(['val/b', 'loss', 'constructor/x', 'val/a', '/odd', '__proto__'])).toEqual([
    { prefix: '', names: ['/odd', '__proto__', 'loss'] },
    { prefix: 'constructor', names: ['constructor/x'] },
    { prefix: 'val', names: ['val/a', 'val/b'] },
  ]);
});

it.each([
  ...(['lr', 'lr-AdamW/pg1', 'train/lr', 'train/learning_rate', 'learning_rate/vision', 'opt/lr_0'].map((name) => [
    name,
    true,
  ]) as [string, boolean][]),
  ...(['lrx', 'train/loss', 'clr', 'learning_rates'].map((name) => [name, false]) as [string, boolean][]),
])('says whether %s is a learning rate: %s', (name, is) => expect(isLearningRate(name)).toBe(is));
