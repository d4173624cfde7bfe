'use client';
import { useState } from 'react';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { checkpointsOf } from '@plumbline/shared/segments';
import { formatStep } from '../../charts/format';
import { configAt } from '../../lib/changes';
import { splitReason } from '../../lib/reason';
import { useReadOnlyReason } from '../../lib/use-hub';
import { NewRunDialog } from '../runs/lazy-new-run-dialog';
import { useRun } from './use-run';

/** Why a run has failed, with a button to continue from its last checkpoint. */
export function FailureBanner(): React.ReactNode {
  const { runId, store } = useRun();
  const readOnlyReason = useReadOnlyReason();
  const [isOpen, setIsOpen] = useState(false);
  const run = store.runSummary;
  if (!run) return null;
  const { headline, more, log } = splitReason(run.reason || 'The run failed without a reason.');
  const last = checkpointsOf(store.controlEvents).at(-1);
  const config = builtInConfig(run.description);
  return (
    <>
      <section className="notice failure" data-kind="bad" aria-label="Why the run failed" data-testid="failure">
        <div>
          <p>
            <b>{headline}</b> {!log && more}
          </p>
          {log && (
            <details>
              <summary>The log’s last lines</summary>
              <pre>{log}</pre>
            </details>
          )}
        </div>
        {last && config && (
          <button
            type="button"
            className="button"
            disabled={readOnlyReason !== ''}
            title={readOnlyReason}
            onClick={() => setIsOpen(true)}
            data-testid="continue-failed"
          >
            Continue from step {formatStep(last.step)}
          </button>
        )}
      </section>
      {isOpen && last && config && (
        <NewRunDialog
          from={{
            runId,
            checkpointId: last.checkpointId,
            step: last.step,
            config: configAt(config, store.changesInForce, last.step),
          }}
          onClose={() => setIsOpen(false)}
        />
      )}
    </>
  );
}
