import { Rng } from '@plumbline/shared/rng';
import { heldOutTasks } from '../data/held-out-tasks.js';
import { targetTasks } from '../data/target-tasks.js';
import type { Example } from '../data/task.js';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
import type { Tokenizer } from '../tokenizer.js';
import { answersRight } from './accuracy.js';

/** By task, a digit a question: 1 for a right answer, 0 for a wrong one. */
export type Answers = Record<string, string>;

/** Not the probes' seed: what people steer by is measured apart from what is reported. */
const seed = 1009;
const rowsPerPass = 250;

/**
 * Every task's questions, target and held-out, from the evaluation splits: the same in the same order for every run,
 * so that the answers of two models can be compared in pairs.
 */
export class Evaluation {
  readonly #questions: { task: string; examples: Example[] }[];

  private constructor(
    private readonly tokenizer: Tokenizer,
    readonly questionsPerTask: number,
  ) {
    this.#questions = [...targetTasks, ...heldOutTasks].map((task) => {
      const rng = new Rng(seed);
      return {
        task: task.name,
        examples: Array.from({ length: questionsPerTask }, () => task.sample(rng, 'evaluation')),
      };
    });
  }

  /** The base model's answers: what every later evaluation is compared with. */
  base: Answers = {};

  /** @param base the model with the base weights @param questionsPerTask at least 1 */
  static async create(base: VisionLanguageModel, tokenizer: Tokenizer, questionsPerTask: number): Promise<Evaluation> {
    const evaluation = new Evaluation(tokenizer, questionsPerTask);
    evaluation.base = await evaluation.ask(base);
    return evaluation;
  }

  /** Asks the model as it stands. */
  async ask(model: VisionLanguageModel): Promise<Answers> {
    const answers: Answers = {};
    for (const { task, examples } of this.#questions) {
      const digits: string[] = [];
      for (let from = 0; from < examples.length; from += rowsPerPass) {
        const some = examples.slice(from, from + rowsPerPass);
        const right = await answersRight(model, this.tokenizer, some, model.config.maxTextTokens);
        digits.push(...right.map((isRight) => (isRight ? '1' : '0')));
      }
      answers[task] = digits.join('');
    }
    return answers;
  }
}
