import { evaluationQuestions } from '../data/evaluation-questions.js';
import { prepareQuestion } from '../models/built-in/processing.js';
import type { Example, Model } from '../models/model.js';
import { Programs } from '../runtime/program.js';
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

  readonly #programs = new Programs();

  private constructor(tokenizer: Tokenizer, { questionsPerTask, seed }: EvaluationOptions) {
    this.#questions = evaluationQuestions(seed, questionsPerTask).map(({ task, examples }) => ({
      task,
      examples: examples.map((question) => prepareQuestion(question, tokenizer)),
    }));
  }

  /** The base model's answers, to which every later evaluation is compared. */
  base: Answers = {};

  /** @param base the model with the base weights */
  static async create(base: Model, tokenizer: Tokenizer, options: EvaluationOptions): Promise<Evaluation> {
    const evaluation = new Evaluation(tokenizer, options);
    evaluation.base = await evaluation.ask(base);
    return evaluation;
  }

  /** Evaluates the model with its current weights. */
  async ask(model: Model): Promise<Answers> {
    const answers: Answers = {};
    for (const { task, examples } of this.#questions) {
      const digits: string[] = [];
      for (let from = 0; from < examples.length; from += rowsPerPass) {
        const some = examples.slice(from, from + rowsPerPass);
        const right = await answersRight(model, this.#programs, some);
        digits.push(...right.map((isRight) => (isRight ? '1' : '0')));
      }
      answers[task] = digits.join('');
    }
    return answers;
  }
}
