import { evaluationQuestions } from '../data/evaluation-questions.js';
import type { Example } from '../data/task.js';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
import type { Tokenizer } from '../tokenizer.js';
import { answersRight } from './accuracy.js';

/** One digit per question, by task: 1 for a right answer, 0 for a wrong one. */
export type Answers = Record<string, string>;

export interface EvaluationOptions {
  /** at least 1 */
  questionsPerTask: number;
  /** Selects the questions: a configuration's `evaluationSeed`. */
  seed: number;
}

const rowsPerPass = 250;

/**
 * The questions of every target and held-out task, from the evaluation splits. Runs with the same seed have the same
 * questions in the same order, so that the answers of two models can be compared in pairs. They differ from the probes'
 * questions: people steer by probes, so the reported results are measured separately.
 */
export class Evaluation {
  readonly #questions: { task: string; examples: Example[] }[];

  private constructor(
    private readonly tokenizer: Tokenizer,
    { questionsPerTask, seed }: EvaluationOptions,
  ) {
    this.#questions = evaluationQuestions(seed, questionsPerTask);
  }

  /** The base model's answers, to which every later evaluation is compared. */
  base: Answers = {};

  /** @param base the model with the base weights */
  static async create(
    base: VisionLanguageModel,
    tokenizer: Tokenizer,
    options: EvaluationOptions,
  ): Promise<Evaluation> {
    const evaluation = new Evaluation(tokenizer, options);
    evaluation.base = await evaluation.ask(base);
    return evaluation;
  }

  /** Evaluates the model with its current weights. */
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
