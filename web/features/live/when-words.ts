import { hasEnded, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { StepWindow } from '../../charts/chart-view';
import { formatStep } from '../../charts/format';

/** What the absence of the hub means for a run; follows the sentence that the hub is away. */
export function hubAwayWords(state: RunState): string {
  const fetched = 'missing data is fetched when it is back.';
  if (hasEnded(state)) return `This run has ended; ${fetched}`;
  return state === 'paused' ? `The run stays paused; ${fetched}` : `Training may continue; ${fetched}`;
}

/**
 * The step of the key figures: always the latest, also while the charts are zoomed elsewhere.
 * @param probedStep the step of the last probe, which measured accuracy, bias and divergence; undefined before the first
 * @param zoom the steps that the charts are zoomed into
 */
export function whenWords(
  { state, lastStep }: Pick<RunSummary, 'state' | 'lastStep'>,
  probedStep: number | undefined,
  zoom: StepWindow | null,
): string {
  const when = hasEnded(state) ? 'At the end,' : state === 'created' ? 'Starting at' : 'Now, at';
  const step = `${when} step ${formatStep(lastStep)}`;
  const probed =
    probedStep === undefined || probedStep === lastStep ? '' : `; probed last at step ${formatStep(probedStep)}`;
  const elsewhere = zoom
    ? ` The charts show steps ${formatStep(zoom[0])} to ${formatStep(zoom[1])}; point at one for its values there.`
    : '';
  return `${step}${probed}.${elsewhere}`;
}
