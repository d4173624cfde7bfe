import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { assetPath } from '../asset.js';
import { scorerNames, type Scorer } from './scorer-names.js';
import { scorers } from './scorers.js';
import { vqaAnswer } from './vqa-answer.js';

const score = (scorer: Scorer, written: string, references: string | string[], question = ''): number | null =>
  scorers[scorer]({ written, references: [references].flat(), question });

/** Values of lmms-eval 0.3.0, which the paper runs: make-scores.py. */
const golden = JSON.parse(readFileSync(assetPath('tasks/fixtures/scores.json'), 'utf8')) as {
  vqaAnswers: [text: string, answer: string][];
  vqa: [written: string, references: string[], score: number][];
  relaxed: [written: string, reference: string, score: number][];
  anls: [written: string, references: string[], score: number][];
};

describe('exact', () => {
  it.each([
    ['a red circle', 'a red circle', 1],
    [' A  red\ncircle. ', 'a red circle', 1],
    ['C A T', 'C A T', 1],
    ['a red', 'a red circle', 0],
    ['CAT', 'C A T', 0],
    ['3.5', '35', 0],
    ['', 'a', 0],
  ])('%j for %j: %d', (written, reference, right) => expect(score('exact', written, reference)).toBe(right));
  it('takes any of several references', () => expect(score('exact', 'b', ['a', 'B.'])).toBe(1));
});

describe('option_letter', () => {
  it.each([
    ['B', 'B', 1],
    ['b.', 'B', 1],
    ['B) the cat', 'B', 1],
    ['The answer is B', 'B', 1],
    ['(C)', 'B', 0],
    ['Bird', 'B', 1],
    ['42', 'B', 0],
    ['', 'B', 0],
    // The published code takes the first letter by itself, so an article counts.
    ['It is a B', 'B', 0],
  ])('%j for %j: %d', (written, reference, right) => expect(score('option_letter', written, reference)).toBe(right));
});

describe('integer', () => {
  it.each([
    ['3', 'There are 3 cats in this image.', 1],
    ['There are three dogs.', '3', 1],
    ['Fourteen', '14', 1],
    ['four', '14', 0],
    ['none', '1', 0],
    ['zero', '0', 1],
    ['twenty', '20', 1],
    ['12 or 13', '12', 1],
    ['12 or 13', '13', 0],
    ['003', '3', 1],
    ['many', 'many', 0],
    ['', '3', 0],
  ])('%j for %j: %d', (written, reference, right) => expect(score('integer', written, reference)).toBe(right));
});

describe('relaxed_5_percent', () => {
  it.each([
    ['104.9', '100', 1],
    ['95', '100', 1],
    ['94.9', '100', 0],
    ['12%', '0.12', 1],
    ['London', 'london', 1],
  ])('%j for %j: %d', (written, reference, right) =>
    expect(score('relaxed_5_percent', written, reference)).toBe(right),
  );
  it('is that of lmms-eval', () => {
    // lmms-eval compares texts with the spaces around them; answers here are trimmed.
    const trimmed = golden.relaxed.filter(([written]) => written === written.trim());
    expect(trimmed.length).toBeGreaterThan(20);
    for (const [written, reference, right] of trimmed)
      expect([written, reference, score('relaxed_5_percent', written, reference)]).toEqual([written, reference, right]);
  });
});

describe('anls', () => {
  it.each([
    // One letter of five differs.
    ['helo', 'hello', 0.8],
    ['Hello', 'hello', 1],
    // Two of four: a half stays, as in the challenge's script.
    ['abcd', 'abxy', 0.5],
    // Three of five.
    ['hxxxo', 'hello', 0],
  ])('%j for %j: %d', (written, reference, value) => expect(score('anls', written, reference)).toBeCloseTo(value, 12));
  it('is that of lmms-eval', () => {
    for (const [written, references, value] of golden.anls)
      expect(score('anls', written, references), written).toBeCloseTo(value, 12);
  });
});

describe('vqa_accuracy', () => {
  it.each([
    // Each of the two who say so has one other: (2 * 1/3 + 8 * 2/3) / 10.
    [2, 0.6],
    // (3 * 2/3 + 7 * 1) / 10
    [3, 0.9],
    [4, 1],
    [0, 0],
  ])('with %d of ten people: %d', (agreeing, value) => {
    const people = Array.from({ length: 10 }, (_, person) => (person < agreeing ? 'two dogs' : 'cat'));
    expect(score('vqa_accuracy', 'The 2 dogs.', people)).toBeCloseTo(value, 12);
  });
  it('is that of lmms-eval', () => {
    for (const [written, references, value] of golden.vqa)
      expect(score('vqa_accuracy', written, references), `${written}: ${references.join()}`).toBeCloseTo(value, 12);
  });
  it('compares answers in the form of lmms-eval', () =>
    expect(golden.vqaAnswers.map(([text]) => [text, vqaAnswer(text)])).toEqual(golden.vqaAnswers));
  it('refuses fewer than four people', () =>
    expect(() => score('vqa_accuracy', 'a', ['a'])).toThrow(/at least four people, and there are 1\. Use the scorer/));
});

describe('path_vqa_exact_match', () => {
  it.each([
    ['the left lung', 'left lung', 2 / 3],
    ['left lung', 'the left upper lung', 1],
    ['lung lung', 'lung', 1 / 2],
    ['Yes.', 'yes', 1],
    ['no', 'yes', 0],
    ['12', '12', 0],
    ['', 'yes', 0],
  ])('%j for %j: %d', (written, reference, value) =>
    expect(score('path_vqa_exact_match', written, reference)).toBeCloseTo(value, 12),
  );
});

describe('path_vqa_yes_no', () => {
  it('is strict, and only for questions that ask for yes or no', () => {
    expect(score('path_vqa_yes_no', ' YES ', 'yes', 'Is this a lung?')).toBe(1);
    expect(score('path_vqa_yes_no', 'Yes.', 'yes', 'does it show necrosis?')).toBe(0);
    expect(score('path_vqa_yes_no', 'no', 'yes', 'Are there cells?')).toBe(0);
    expect(score('path_vqa_yes_no', 'yes', 'yes', 'What is this?')).toBeNull();
    expect(score('path_vqa_yes_no', 'yes', 'yes', 'Island or sea?')).toBeNull();
  });
});

describe('clock', () => {
  it.each([
    ['10:08', '10:08', [1, 1, 1]],
    ['10 : 08', '10:08', [1, 1, 1]],
    ['It is 10:09.', '10:08', [1, 1, 1]],
    ['10:10', '10:08', [0, 1, 0]],
    ['9:08', '10:08', [0, 0, 1]],
    ['3:00', '3:59', [1, 1, 1]],
    ['4:00', '3:59', [0, 0, 1]],
    ['hour 7, minute 30', '7:30', [1, 1, 1]],
    ['ten past three', '3:10', [0, 0, 0]],
    ['7', '7:30', [0, 0, 0]],
  ])('%j for %j: both, hour, minute %j', (written, reference, right) => {
    const by = (['clock', 'clock_hour', 'clock_minute'] as const).map((scorer) => score(scorer, written, reference));
    expect(by).toEqual(right);
  });
});

it('every named scorer gives 1 for the right answer', () => {
  const right: Record<Scorer, [string, string]> = {
    exact: ['a', ''],
    option_letter: ['A', ''],
    integer: ['7', ''],
    relaxed_5_percent: ['7', ''],
    anls: ['a', ''],
    vqa_accuracy: ['b', ''],
    path_vqa_exact_match: ['b', ''],
    path_vqa_yes_no: ['yes', 'is it?'],
    clock: ['1:00', ''],
    clock_hour: ['1:00', ''],
    clock_minute: ['1:00', ''],
  };
  for (const name of scorerNames)
    expect(score(name, right[name][0], Array<string>(10).fill(right[name][0]), right[name][1]), name).toBe(1);
});
