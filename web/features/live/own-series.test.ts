import { expect, it } from 'vitest';
import { ownSeries, withoutLargeGroups } from './own-series';

const of = (...names: string[]) => names.map((name) => ({ name }));
const none = () => false;

it('has losses first, then held-out values, each in order of declaration', () => {
  expect(ownSeries(of('lr', 'eval/acc', 'glossary', 'val_loss', 'Train Loss', 'tokens'), none)).toEqual([
    ...['val_loss', 'Train Loss', 'eval/acc', 'lr', 'glossary', 'tokens'],
  ]);
});
it('uses the declared label and direction too', () => {
  const declared = [{ name: 'a' }, { name: 'b', better: 'higher' as const }, { name: 'c', label: 'Loss' }];
  expect(ownSeries(declared, none)).toEqual(['c', 'b', 'a']);
});
it('leaves out series with a chart', () => {
  expect(ownSeries(of('train/loss', 'loss'), (name) => name === 'train/loss')).toEqual(['loss']);
});

it('leaves out large groups, but keeps telling series and a group without others', () => {
  const layers = Array.from({ length: 13 }, (_, i) => `grad/${i}`);
  expect(withoutLargeGroups(['tokens', 'a/b', ...layers], (name) => name === 'grad/3')).toEqual([
    ...['tokens', 'a/b', 'grad/3'],
  ]);
  expect(withoutLargeGroups(layers, none)).toEqual(layers);
});
