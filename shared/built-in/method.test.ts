import { describe, expect, it } from 'vitest';
import { additionWords, misfitWords } from './method-words.js';
import { RunConfig } from './run-config.js';

describe('a run’s method', () => {
  const refusal = (config: object): unknown =>
    RunConfig.safeParse({ name: 'x', ...config }).error?.issues.map(({ path, message }) => [path[0], message]);

  it('is plain fine-tuning unless said otherwise, with the reference implementation’s LwF where it is only named', () => {
    expect(RunConfig.parse({ name: 'x' }).method).toEqual({ kind: 'fine_tuning' });
    expect(RunConfig.parse({ name: 'x', method: { kind: 'lwf' } }).method).toEqual({
      kind: 'lwf',
      weight: 1,
      temperature: 2,
    });
  });

  it('WiSE-FT is refused where nothing would be evaluated', () => {
    const method = { kind: 'wise_ft' };
    expect(refusal({ method })).toEqual([['evaluationQuestions', expect.stringMatching(/at least 1 question/)]]);
    expect(refusal({ method, evaluationQuestions: 1 })).toBeUndefined();
  });

  it.each([
    ['lora', 'projector'],
    ['mixture_of_experts', 'projector'],
    ['mixture_of_experts', 'sa_proj'],
  ])('%s is refused with the recipe %s, which hits nothing that it trains', (kind, recipe) => {
    expect(refusal({ method: { kind }, recipe })).toEqual([['recipe', expect.stringContaining(recipe)]]);
    expect(refusal({ method: { kind }, recipe: 'mlp' })).toBeUndefined();
  });

  it('fits checkpoints whose model has the same additions', () => {
    const lora = { kind: 'lora', rank: 8, alpha: 16 } as const;
    expect(misfitWords({ kind: 'fine_tuning' }, { kind: 'lwf', weight: 1, temperature: 2 })).toBe('');
    expect(misfitWords(lora, { ...lora })).toBe('');
    expect(misfitWords(lora, { ...lora, alpha: 8 })).toMatch(/alpha 16; this run trains .*alpha 8/);
    expect(misfitWords({ kind: 'fine_tuning' }, lora)).toMatch(/a model without additions; this run/);
    expect(additionWords({ kind: 'mixture_of_experts', experts: 1 })).toBe('1 further expert in each layer');
  });
});
