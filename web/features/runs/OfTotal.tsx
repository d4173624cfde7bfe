import type { RunSummary } from '@plumbline/shared/run';
import { formatStep } from '../../charts/format';

/** `/ 6,000` behind the step that a run is at; nothing where it is not known how many there will be. */
export function OfTotal({ run }: { run: Pick<RunSummary, 'description'> }): React.ReactNode {
  const { totalSteps } = run.description;
  return totalSteps !== null && <span className="dim">/ {formatStep(totalSteps)}</span>;
}
