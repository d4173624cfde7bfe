'use client';
import { useEffect, useState } from 'react';
import type { CommandRecord } from '@plumbline/shared/command';
import { formatStep } from '../../charts/format';

const appliedShownMs = 5000;

/** How the last command of a control went. Success goes away by itself; a failure stays with its reason. */
export function Outcome({ record, testId }: { record: CommandRecord | undefined; testId: string }): React.ReactNode {
  const [faded, setFaded] = useState<CommandRecord | null>(null);
  const applied = record?.state === 'applied' ? record : null;
  useEffect(() => {
    if (!applied) return;
    const timer = setTimeout(() => setFaded(applied), appliedShownMs);
    return () => clearTimeout(timer);
  }, [applied]);
  const shown = record && record !== faded ? record : null;
  return (
    <span className="outcome" role="status" data-state={shown?.state} data-testid={testId}>
      {shown?.state === 'pending' && 'pending …'}
      {shown?.state === 'applied' && (shown.step === null ? 'applied' : `applied at step ${formatStep(shown.step)}`)}
      {shown && shown.state !== 'pending' && shown.state !== 'applied' && `${shown.state}: ${shown.reason}`}
    </span>
  );
}
