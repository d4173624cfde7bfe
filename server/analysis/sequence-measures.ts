/*
 * Learning and forgetting of a sequence of target skills, from the answers to the same questions before training and after
 * each stage. Definitions: "Measures" of arXiv 2510.08564; percentage points against the base model.
 */

/** Answers of one evaluation: task -> one digit per question, 1 for a right answer. */
export type Answers = Readonly<Record<string, string>>;

/** One run of a sequence: the same questions, in the same order, before training and after each stage. */
export interface SequenceRun {
  /** Seed of the order of training data. */
  seed: number;
  /** The target task that each stage trains. */
  stages: readonly string[];
  /** Tasks that no stage trains: their drop is forgetting. */
  heldOut: readonly string[];
  base: Answers;
  /** Answers after each completed stage, in order; shorter than `stages` if the run ended early. */
  afterStage: readonly Answers[];
}

/** As `SequenceRun`, with accuracies in percent in place of the answers. */
export interface SequenceAccuracies {
  stages: readonly string[];
  heldOut: readonly string[];
  base: Readonly<Record<string, number>>;
  afterStage: readonly Readonly<Record<string, number>>[];
}

/** Names of the measures, in the order of tables. */
export const sequenceMeasureNames = [
  'targetLearning',
  'targetForgetting',
  'targetOverall',
  'heldOutForgetting',
] as const;
export type SequenceMeasureName = (typeof sequenceMeasureNames)[number];
/** Measures in percentage points; null where undefined, such as forgetting after the first stage. */
export type SequenceMeasures = Record<SequenceMeasureName, number | null>;

/** The fields of an `evaluation_completed` event that the measures use. */
export interface Evaluation {
  /** Index of the stage it follows; null: the base model, before training. */
  stage: number | null;
  /** Interpolation weight of WiSE-FT; null: the trained model. */
  weight: number | null;
  right: Answers;
}

/**
 * Collects a run's answers from its evaluations. If a stage was evaluated repeatedly, the last evaluation counts.
 * @param weight the interpolation with the base model that is used after each stage; null: the trained model
 * @throws Error when the base model or a stage before a later one was not evaluated
 */
export function sequenceRun(
  evaluations: readonly Evaluation[],
  {
    seed,
    stages,
    heldOut,
    weight = null,
  }: Pick<SequenceRun, 'seed' | 'stages' | 'heldOut'> & { weight?: number | null },
): SequenceRun {
  const base = evaluations.findLast(({ stage }) => stage === null);
  if (!base) throw new Error('The base model was not evaluated: give the run evaluation questions.');
  const afterStage: Answers[] = [];
  stages.forEach((task, index) => {
    const after = evaluations.findLast((evaluation) => evaluation.stage === index && evaluation.weight === weight);
    if (!after) return;
    if (afterStage.length < index)
      throw new Error(`Stage ${index} (${task}) was evaluated, the one before it was not.`);
    afterStage.push(after.right);
  });
  return { seed, stages, heldOut, base: base.right, afterStage };
}

/** Share of right answers of each task, in percent. @throws Error for a task without questions or with other digits */
export function accuraciesOf(run: SequenceRun): SequenceAccuracies {
  const percent = (answers: Answers): Record<string, number> =>
    Object.fromEntries(
      Object.entries(answers).map(([task, right]) => {
        if (!/^[01]+$/.test(right)) throw new Error(`The answers to ${task} are no 0 and 1: "${right.slice(0, 20)}".`);
        return [task, (100 * right.replaceAll('0', '').length) / right.length];
      }),
    );
  return { ...run, base: percent(run.base), afterStage: run.afterStage.map(percent) };
}

/**
 * The measures after each completed stage, the last being those of the whole sequence. After stage j, with k = 1..j:
 * target learning = mean over k of acc(after k, t_k) - acc(base, t_k); target forgetting = mean over k < j of
 * acc(after j, t_k) - acc(after k, t_k); target overall = mean over k of acc(after j, t_k) - acc(base, t_k);
 * held-out forgetting = mean over the held-out tasks of acc(after j) - acc(base). Negative forgetting is worse.
 * @throws Error naming a task that was not evaluated
 */
export function sequenceMeasures(run: SequenceAccuracies): SequenceMeasures[] {
  return run.afterStage.map((now, last) => {
    const taught = run.stages.slice(0, last + 1);
    const change = (
      task: string,
      from: Readonly<Record<string, number>>,
      to: Readonly<Record<string, number>>,
    ): number => accuracy(to, task) - accuracy(from, task);
    return {
      targetLearning: mean(taught.map((task, k) => change(task, run.base, run.afterStage[k]!))),
      targetForgetting: mean(taught.slice(0, -1).map((task, k) => change(task, run.afterStage[k]!, now))),
      targetOverall: mean(taught.map((task) => change(task, run.base, now))),
      heldOutForgetting: mean(run.heldOut.map((task) => change(task, run.base, now))),
    };
  });
}

/** The measures of the whole sequence; all null before the first stage has ended. */
export function finalMeasures(run: SequenceAccuracies): SequenceMeasures {
  const none = { targetLearning: null, targetForgetting: null, targetOverall: null, heldOutForgetting: null };
  return sequenceMeasures(run).at(-1) ?? none;
}

function accuracy(of: Readonly<Record<string, number>>, task: string): number {
  const value = of[task];
  if (value === undefined)
    throw new Error(`There is no evaluation of ${task}; there are ${Object.keys(of).join(', ')}.`);
  return value;
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}
