import { hasEnded, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { StepWindow } from '../../charts/chart-view';
import { formatStep } from '../../charts/format';

/** What it means for a run that the hub is away, to be read after that it is. */
export function hubAwayWords(state: RunState): string {
  const fetched = 'what is missing here is fetched when it is back.';
  if (hasEnded(state)) return `This run has ended; ${fetched}`;
  return state === 'paused' ? `The run stays paused; ${fetched}` : `Training goes on without it; ${fetched}`;
}

/**
 * Which steps the key figures are of: the latest always, also while the charts are zoomed into others.
 * @param probedStep the step of the last probe, which accuracy, bias and divergence are of; undefined before the first
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
