import { describe, expect, it } from 'vitest';
import { askedQuestions, questionContents } from './question-contents.js';

describe('contents of the questions', () => {
  const contents = questionContents({ evaluationSeed: 2, evaluationQuestions: 200 });

  it('are one a question of every task, the same for the same seed', () => {
    expect(Object.keys(contents)).toHaveLength(13);
    for (const [task, of] of Object.entries(contents)) expect(of, task).toHaveLength(200);
    expect(questionContents({ evaluationSeed: 2, evaluationQuestions: 200 })).toEqual(contents);
    expect(questionContents({ evaluationSeed: 3, evaluationQuestions: 200 })).not.toEqual(contents);
  });
  it('are told from others of their number by a digest of each task, which the order of questions counts in', () => {
    const asked = askedQuestions({ evaluationSeed: 2 }, contents);
    const other = askedQuestions(
      { evaluationSeed: 3 },
      questionContents({ evaluationSeed: 3, evaluationQuestions: 200 }),
    );
    expect([asked.evaluationSeed, other.evaluationSeed]).toEqual([2, 3]);
    for (const [task, digest] of Object.entries(asked.contents)) {
      expect(digest, task).toMatch(/^[0-9a-f]{16}$/);
      expect(other.contents[task], task).not.toBe(digest);
    }
    const turned = { ...contents, clock: contents['clock']!.toReversed() };
    expect(askedQuestions({ evaluationSeed: 2 }, turned)).toEqual({
      ...{
        evaluationSeed: 2,
        contents: { ...asked.contents, clock: expect.not.stringMatching(asked.contents['clock']!) },
      },
    });
  });
});
