import { describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { prepareQuestion } from '../models/built-in/processing.js';
import { noLabel } from '../models/model.js';
import { contentDigest, evaluationQuestions } from './evaluation-questions.js';
import { heldOutTasks } from './held-out-tasks.js';
import { drawObjects, drawScene, sceneContent } from './scene.js';
import { targetTasks } from './target-tasks.js';
import { drawInSplit, drawQuestions, splitOf, type DrawnQuestion } from './task.js';
import { builtInTokenizer } from './vocabulary.js';

const tokenizer = builtInTokenizer();
const tasks = [...heldOutTasks, ...targetTasks];
const draw = (
  task: (typeof tasks)[number],
  seed: number,
  count: number,
  split: 'train' | 'evaluation',
): DrawnQuestion[] => {
  const rng = new Rng(seed);
  return Array.from({ length: count }, () => task.sample(rng, split));
};

describe.each(tasks.map((task) => [task.name, task] as const))('task %s', (_, task) => {
  it('repeats exactly with a seed and varies with it', () => {
    expect(draw(task, 5, 20, 'train')).toEqual(draw(task, 5, 20, 'train'));
    expect(draw(task, 5, 20, 'train')).not.toEqual(draw(task, 6, 20, 'train'));
  });
  it('fits the vocabulary and the text length', () => {
    const examples = draw(task, 1, 300, 'train');
    for (const example of examples) {
      const { ids, labels } = prepareQuestion(example, tokenizer);
      expect(ids.length).toBeLessThanOrEqual(16 + 16 + 1);
      // Each answer word and the end are predicted.
      expect(labels.filter((id) => id !== noLabel)).toHaveLength(example.answer.split(' ').length + 1);
    }
  });
  it('has no picture and question in both splits', () => {
    const key = ({ image, prompt }: DrawnQuestion): string => prompt + Buffer.from(image).toString('base64');
    const train = new Set(draw(task, 1, 3000, 'train').map(key));
    expect(draw(task, 2, 1000, 'evaluation').filter((example) => train.has(key(example)))).toEqual([]);
  });
  it('has no content in both splits, and the same content for the same pictures', () => {
    const contents = (seed: number, split: 'train' | 'evaluation'): string[] =>
      draw(task, seed, 1000, split).map(({ content }) => content);
    const train = new Set(contents(1, 'train'));
    const evaluation = contents(2, 'evaluation');
    expect(evaluation.filter((content) => train.has(content))).toEqual([]);
    expect(new Set(evaluation).size).toBeGreaterThan(20);
    expect(evaluation).toEqual(contents(2, 'evaluation'));
  });
  it('has several answers, and none of them in more than half of the cases', () => {
    const counts = new Map<string, number>();
    for (const { answer } of draw(task, 3, 1000, 'evaluation')) counts.set(answer, (counts.get(answer) ?? 0) + 1);
    expect(Math.max(...counts.values())).toBeLessThan(560);
  });
});

describe('scenes', () => {
  it('always put the same content into the same split, about one in ten into evaluation', () => {
    const contents = Array.from({ length: 5000 }, (_, i) => `red circle ${i}`);
    const share = contents.filter((content) => splitOf(content) === 'evaluation').length / contents.length;
    expect(share).toBeGreaterThan(0.08);
    expect(share).toBeLessThan(0.12);
  });
  it('show no content of evaluation in training, with or without jitter', () => {
    // There are 768 scenes of one object; both splits are drawn often enough to show all of theirs.
    const contents = (split: 'train' | 'evaluation', seed: number): Set<string> => {
      const rng = new Rng(seed);
      const one = (): string => sceneContent(drawObjects(rng, 1, true));
      return new Set(Array.from({ length: 6000 }, () => drawInSplit(split, one, (content) => content).content));
    };
    const [train, evaluation] = [contents('train', 1), contents('evaluation', 2)];
    expect([...evaluation].filter((content) => train.has(content))).toEqual([]);
    expect(train.size + evaluation.size).toBe(8 * 6 * 16);
  });
  it('show each object in its cell, in its colour', () => {
    const image = drawScene(new Rng(1), [{ colour: 'red', shape: 'square', row: 1, column: 3 }]);
    const pixel = (x: number, y: number): number[] => [...image.slice((y * 32 + x) * 3, (y * 32 + x) * 3 + 3)];
    const [red, green, blue] = pixel(28, 12);
    expect(red! - Math.max(green!, blue!)).toBeGreaterThan(100);
    // An empty cell shows the background, which is grey.
    const empty = pixel(4, 4);
    expect(Math.max(...empty) - Math.min(...empty)).toBeLessThan(25);
  });
  it('draw objects that differ in colour and in shape on request', () => {
    for (let seed = 0; seed < 50; seed++) {
      const objects = drawObjects(new Rng(seed), 4, true);
      expect(new Set(objects.map(({ colour }) => colour)).size).toBe(4);
      expect(new Set(objects.map(({ shape }) => shape)).size).toBe(4);
      expect(new Set(objects.map(({ row, column }) => row * 4 + column)).size).toBe(4);
    }
  });
});

describe('drawQuestions', () => {
  const picture = ({ image }: DrawnQuestion): string => Buffer.from(image).toString('base64');
  it('shows each task its own pictures, though tasks draw pictures alike', () => {
    const pictures = tasks.map((task) => new Set(drawQuestions(task, 'evaluation 1', 50).map(picture)));
    const shared = pictures.flatMap((some, i) =>
      pictures.slice(i + 1).flatMap((others) => [...some].filter((one) => others.has(one))),
    );
    expect(shared).toEqual([]);
  });
  it('gives the same questions for the same seed, others for another, all of the evaluation split', () => {
    const [task] = heldOutTasks;
    expect(drawQuestions(task!, 'evaluation 1', 20)).toEqual(drawQuestions(task!, 'evaluation 1', 20));
    expect(drawQuestions(task!, 'evaluation 1', 20)).not.toEqual(drawQuestions(task!, 'evaluation 2', 20));
    const digits = heldOutTasks.find(({ name }) => name === 'digits')!;
    const training = new Set(draw(digits, 1, 3000, 'train').map(picture));
    expect(drawQuestions(digits, 'evaluation 1', 200).filter((one) => training.has(picture(one)))).toEqual([]);
  });
});

describe('evaluation questions', () => {
  /** Answers by content. */
  const answers = (name: string): Map<string, Set<string>> => {
    const { examples } = evaluationQuestions(2, 200).find(({ task }) => task === name)!;
    const found = new Map<string, Set<string>>();
    for (const { content, answer } of examples) found.set(content, (found.get(content) ?? new Set()).add(answer));
    return found;
  };
  // The intervals of a stored study depend on this: after a change, its answers belong to questions that are no longer
  // drawn.
  it.each([
    ['kinds', 157, '016469947eb65667'],
    ['counting', 191, 'f3b1d8c3e545f0c2'],
    ['tissue', 44, '241a1429f8a236f9'],
    ['reading', 27, '52140e756e9b79a5'],
    ['clock', 67, '028160de99eae1a5'],
    ['colour', 188, '3e0f18c6fc8e014a'],
    ['shape', 189, '70e0e2d69d56cf1d'],
    ['position', 189, 'c98b4c5bfb9f3945'],
    ['yes_no', 188, 'ab4a1838d88eddea'],
    ['caption', 158, '82d609d289390b7d'],
    ['digits', 179, '0bbc7b0a9a7e4b4e'],
    ['easy_vqa', 182, '8774d92e357f7fec'],
    ['chart', 200, 'c96d2bfc1922a315'],
  ])('of %s and seed 2 are about %i contents in 200, in the order of %s', (name, count, digest) => {
    const contents = evaluationQuestions(2, 200)
      .find(({ task }) => task === name)!
      .examples.map(({ content }) => content);
    expect(new Set(contents).size).toBe(count);
    expect(contentDigest(contents)).toBe(digest);
  });
  it.each(['kinds', 'counting', 'reading', 'clock', 'caption', 'digits'])(
    'of %s have one answer where they show the same',
    (name) => {
      for (const [content, found] of answers(name)) expect([...found], content).toHaveLength(1);
    },
  );
  it('of reading have the word as content, in different pictures', () => {
    const { examples } = evaluationQuestions(2, 200).find(({ task }) => task === 'reading')!;
    for (const { content, answer } of examples) expect(answer).toBe([...content].join(' '));
    expect(new Set(examples.map(({ image }) => Buffer.from(image).toString('base64'))).size).toBe(200);
  });
});

describe('captions', () => {
  it('have no number token, so that number-token bias on them starts at zero', async () => {
    const { isNumberToken } = await import('../number-tokens.js');
    const caption = heldOutTasks.find(({ name }) => name === 'caption')!;
    const words = new Set(
      draw(caption, 1, 2000, 'train').flatMap(({ prompt, answer }) => `${prompt} ${answer}`.split(' ')),
    );
    expect([...words].filter(isNumberToken)).toEqual([]);
  });
});
