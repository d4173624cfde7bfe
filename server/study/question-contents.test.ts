import { describe, expect, it } from 'vitest';
import { questionContents } from './question-contents.js';

describe('contents of the questions', () => {
  const contents = questionContents({ evaluationSeed: 2, evaluationQuestions: 200 });

  it('are one a question of every task, the same for the same seed', () => {
    expect(Object.keys(contents)).toHaveLength(13);
    for (const [task, of] of Object.entries(contents)) expect(of, task).toHaveLength(200);
    expect(questionContents({ evaluationSeed: 2, evaluationQuestions: 200 })).toEqual(contents);
    expect(questionContents({ evaluationSeed: 3, evaluationQuestions: 200 })).not.toEqual(contents);
  });
});
