import type { RunSummary } from '@plumbline/shared/run';
import { formatStep } from '../../charts/format';

/** `/ 6,000` behind the current step of a run; nothing if the total is unknown. */
export function OfTotal({ run }: { run: Pick<RunSummary, 'description'> }): React.ReactNode {
  const { totalSteps } = run.description;
  return totalSteps !== null && <span className="dim">/ {formatStep(totalSteps)}</span>;
}
