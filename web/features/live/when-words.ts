import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import type { StepWindow } from '../../charts/chart-view';
import { formatStep } from '../../charts/format';

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
  const step = hasEnded(state) ? `At the end, step ${formatStep(lastStep)}` : `Now, at step ${formatStep(lastStep)}`;
  const probed =
    probedStep === undefined || probedStep === lastStep ? '' : `; probed last at step ${formatStep(probedStep)}`;
  const elsewhere = zoom
    ? ` The charts show steps ${formatStep(zoom[0])} to ${formatStep(zoom[1])}; point at one for its values there.`
    : '';
  return `${step}${probed}.${elsewhere}`;
}
