import { describe, expect, it } from 'vitest';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { readForm, toForm, type RunForm } from './run-form';

const good = toForm(RunConfig.parse({ name: 'counting, full' }));
const errorsOf = (change: Partial<RunForm>): object => {
  const read = readForm({ ...good, ...change });
  return read.ok ? {} : read.errors;
};

describe('readForm', () => {
  it('reads back its own values', () => {
    expect(readForm(good)).toEqual({ ok: true, config: RunConfig.parse({ name: 'counting, full' }) });
  });
  it('takes learning rates as people write them', () => {
    const read = readForm({ ...good, learningRate: ' 5e-6 ' });
    expect(read.ok && read.config.learningRate).toBe(5e-6);
  });
  it.each([
    ['', 'Give a number.'],
    ['0', 'A learning rate is above 0.'],
    ['-1e-4', 'A learning rate is above 0.'],
    ['2', 'A learning rate above 1 destroys any model.'],
    ['fast', '“fast” is not a number. Write it like 5e-4 or 0.0005.'],
    ['NaN', '“NaN” is not a number. Write it like 5e-4 or 0.0005.'],
  ])('says what is wrong with the learning rate %j', (learningRate, message) => {
    expect(errorsOf({ learningRate })).toEqual({ learningRate: message });
  });
  it('says what is wrong with each of the other fields', () => {
    expect(errorsOf({ steps: '0' })).toEqual({ steps: 'At least 1.' });
    expect(errorsOf({ steps: '1.5' })).toEqual({ steps: 'Must be a whole number.' });
    expect(errorsOf({ steps: '2000000' })).toEqual({ steps: 'At most 1,000,000.' });
    expect(errorsOf({ seed: '-1', name: '  ' })).toEqual({ seed: 'At least 0.', name: 'Enter a name.' });
    expect(errorsOf({ steps: '10', warmupSteps: '20' })).toEqual({
      warmupSteps: 'Warm-up is longer than a task’s steps.',
    });
    expect(errorsOf({ evaluationSeed: '' })).toEqual({ evaluationSeed: 'Give a number.' });
    expect(errorsOf({ maxGradientNorm: '0' })).toEqual({ maxGradientNorm: 'Must be above 0.' });
  });
  it('says that a task has to be chosen', () => {
    expect(errorsOf({ tasks: [] })).toEqual({ tasks: 'Choose at least one task.' });
  });
  it('says which settings the method does not allow', () => {
    const lora = { kind: 'lora', rank: 8, alpha: 16 } as const;
    expect(readForm({ ...good, method: lora })).toMatchObject({ ok: true, config: { method: lora } });
    expect(errorsOf({ method: lora, recipe: 'projector' })).toEqual({
      recipe: expect.stringContaining('hits nothing'),
    });
    expect(errorsOf({ method: { ...lora, rank: NaN } })).toHaveProperty('method');
    expect(errorsOf({ method: { kind: 'wise_ft', weights: [0.5] } })).toEqual({
      evaluationQuestions: expect.stringContaining('at least 1 question a task'),
    });
  });
});
