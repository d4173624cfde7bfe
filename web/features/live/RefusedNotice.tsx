'use client';
import { formatClock, formatStep } from '../../charts/format';
import { useRun } from './use-run';

/** Says that the hub refuses some of what the run's trainer sends, with the newest refusal. */
export function RefusedNotice(): React.ReactNode {
  const refused = useRun().store.runSummary?.refused;
  if (!refused) return null;
  const { count, message, atMs } = refused;
  return (
    <p className="notice" data-kind="warn" role="alert" data-testid="refused">
      <span>
        <b>The hub refuses part of what the trainer sends</b> ({formatStep(count)} so far). The newest, at{' '}
        {formatClock(atMs)}: {message}
      </span>
    </p>
  );
}
