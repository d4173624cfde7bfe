import { bootstrapDifferences, bootstrapIntervals, type Contents, type Interval } from '../analysis/bootstrap.js';
import {
  accuraciesOf,
  finalMeasures,
  type SequenceMeasureName,
  type SequenceRun,
} from '../analysis/sequence-measures.js';
import { sequencesOf } from '../analysis/study-claims.js';
import type { StudyRun } from '../analysis/study-run.js';
import type { StudySpec } from './study-spec.js';

/** A row of the report's main table: a variant, or one of the weights that a WiSE-FT variant was evaluated at. */
export interface Row {
  name: string;
  variant: string;
  sequences: SequenceRun[];
  measures: Record<SequenceMeasureName, Interval | null>;
  /** Against the reference, seed by seed and question by question; null for the reference itself. */
  difference: Record<SequenceMeasureName, Interval | null> | null;
}

/** The rows of a study, variant by variant, weights from small to large before the model as trained. */
export function rowsOf(
  spec: StudySpec,
  byVariant: ReadonlyMap<string, readonly StudyRun[]>,
  contents: Contents,
): Row[] {
  const reference = sequencesOf(byVariant.get(spec.reference)!);
  return [...byVariant].flatMap(([variant, runs]) => {
    const weights = [...new Set(runs.flatMap(({ evaluations }) => evaluations.map(({ weight }) => weight)))];
    return weights
      .sort((a, b) => (a ?? 2) - (b ?? 2))
      .map((weight): Row => {
        const sequences = sequencesOf(runs, weight);
        return {
          name: weight === null ? variant : `${variant} at ${weight}`,
          variant,
          sequences,
          measures: bootstrapIntervals(sequences, finalMeasures, { contents }),
          difference:
            variant === spec.reference ? null : bootstrapDifferences(sequences, reference, finalMeasures, { contents }),
        };
      });
  });
}

/** Every accuracy of the rows, a line each. */
export function csvOf(rows: readonly Row[]): string {
  const lines = ['row,variant,seed,stage,task,kind,questions,accuracy_percent'];
  for (const { name, variant, sequences } of rows)
    for (const run of sequences) {
      const { base, afterStage, heldOut } = accuraciesOf(run);
      [base, ...afterStage].forEach((accuracies, index) => {
        for (const [task, accuracy] of Object.entries(accuracies))
          lines.push(
            [
              ...[name, variant, run.seed, index === 0 ? 'base' : index - 1, task],
              ...[heldOut.includes(task) ? 'held_out' : 'target', run.base[task]!.length, accuracy],
            ].join(','),
          );
      });
    }
  return lines.join('\n') + '\n';
}

/** Without the answers. */
export const jsonRow = ({ name, variant, measures, difference }: Row): object => ({
  name,
  variant,
  measures,
  difference,
});
