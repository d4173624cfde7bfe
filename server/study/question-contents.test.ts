import { describe, expect, it } from 'vitest';
import { questionContents } from './question-contents.js';

describe('contents of the questions', () => {
  const contents = questionContents({ evaluationSeed: 2, evaluationQuestions: 200 });
  const different = (task: string): number => new Set(contents[task]).size;

  it('are one a question of every task, the same for the same seed', () => {
    expect(Object.keys(contents)).toHaveLength(13);
    for (const [task, of] of Object.entries(contents)) expect(of, task).toHaveLength(200);
    expect(questionContents({ evaluationSeed: 2, evaluationQuestions: 200 })).toEqual(contents);
    expect(questionContents({ evaluationSeed: 3, evaluationQuestions: 200 })).not.toEqual(contents);
  });
  it('repeat where evaluation has few: 27 words, dials, parts of a slide; no two charts are alike', () => {
    expect(different('reading')).toBe(27);
    expect(different('clock')).toBeLessThanOrEqual(71);
    expect(different('tissue')).toBeLessThanOrEqual(64);
    expect(different('chart')).toBe(200);
  });
});
