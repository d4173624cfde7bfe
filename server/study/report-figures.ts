import { blocks, contributionChange, metrics, numberTokenPush } from '@plumbline/shared/metric';
import { bootstrapIntervals, type Contents } from '../analysis/bootstrap.js';
import { sequenceMeasures } from '../analysis/sequence-measures.js';
import { mean, valueAt, type StudyRun } from '../analysis/study-run.js';
import { layerFigure, scatterFigure, stageFigure, tradeOffFigure } from './figures.js';
import type { Row } from './report-rows.js';
import type { StudySpec } from './study-spec.js';

/** A figure of the report: a file beside it. */
export interface Figure {
  file: string;
  caption: string;
  svg: string;
}

/** All figures of a study's report, in their order. @param rows of its main table @param contents of the questions */
export function figuresOf(
  spec: StudySpec,
  byVariant: ReadonlyMap<string, readonly StudyRun[]>,
  rows: readonly Row[],
  contents: Contents,
): Figure[] {
  const stages = [...byVariant.values()][0]![0]!.tasks;
  const trained = rows.filter(({ name, variant }) => name === variant);
  const figures: Figure[] = [
    {
      file: 'held-out-by-stage.svg',
      caption: 'Held-out accuracy against the base model after each stage, in percentage points, with 95 % intervals.',
      svg: stageFigure(
        'held-out change, points',
        ['base', ...stages],
        trained.map(({ name, sequences }) => ({
          name,
          values: [
            { estimate: 0, low: 0, high: 0 },
            ...stages.map(
              (_, stage) =>
                bootstrapIntervals(
                  sequences,
                  (run) => ({ value: sequenceMeasures(run)[stage]?.heldOutForgetting ?? null }),
                  { contents },
                ).value,
            ),
          ],
        })),
      ),
    },
    {
      file: 'trade-off.svg',
      caption: 'What was learnt against what was forgotten; up and to the right is better.',
      svg: tradeOffFigure(
        ['target learning, points', 'held-out change, points'],
        // As trained first: in the same order, and so colours, as in the other figures.
        [...trained, ...rows.filter(({ name, variant }) => name !== variant)].map(({ name, measures }) => ({
          name,
          x: measures.targetLearning,
          y: measures.heldOutForgetting,
        })),
      ),
    },
    {
      file: 'bias-and-accuracy.svg',
      caption: 'Every probe: number-token bias on held-out prompts, and held-out accuracy against the base model.',
      svg: scatterFigure(
        ['number-token bias on held-out prompts', 'held-out change, points'],
        [...byVariant].map(([name, runs]) => ({
          name,
          points: runs.flatMap((run) => {
            const [bias, accuracy] = [run.series[metrics.numberTokensHeldOut], run.series[metrics.heldOutMean]];
            if (!bias || !accuracy) return [];
            const base = run.baseline[metrics.heldOutMean] ?? NaN;
            return Array.from(bias.steps, (step, i) => [bias.values[i]!, valueAt(accuracy, step) - base] as const);
          }),
        })),
      ),
    },
  ];
  const reference = byVariant.get(spec.reference)!;
  const change = byLayer(reference, contributionChange);
  const push = byLayer(reference, numberTokenPush);
  if (change.length > 0)
    figures.push(
      {
        file: 'contribution-change-by-layer.svg',
        caption: `How far each block’s contribution to the logits of ${spec.reference} had moved from the base’s after counting, root mean square in logits.`,
        svg: layerFigure('contribution change, logits', change, ['attention', 'MLP']),
      },
      {
        file: 'number-push-by-layer.svg',
        caption: `Where ${spec.reference} writes the shift: how much more each block pushes number tokens after counting than in the base, in logits.`,
        svg: layerFigure('push on number tokens, logits', push, ['attention', 'MLP']),
      },
    );
  return figures;
}

/** A measure of each layer's attention and MLP after counting (or the first skill), mean over runs; empty where not measured. */
function byLayer(
  runs: readonly StudyRun[],
  metric: (layer: number, block: string) => string,
): { layer: string; values: number[] }[] {
  const layers: { layer: string; values: number[] }[] = [];
  for (let layer = 0; runs.every(({ series }) => metric(layer, 'mlp') in series); layer++)
    layers.push({
      layer: `layer ${layer}`,
      values: blocks.map((block) =>
        mean(
          runs.map((run) => {
            const counting = Math.max(0, run.tasks.indexOf('counting'));
            return valueAt(run.series[metric(layer, block)]!, (counting + 1) * run.stepsPerStage);
          }),
        ),
      ),
    });
  return layers;
}
