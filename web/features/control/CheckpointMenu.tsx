'use client';
import { useRouter } from 'next/navigation';
import { useEffect, useRef, useState } from 'react';
import { hasEnded, type CheckpointId } from '@plumbline/shared/run';
import { formatClock, formatStep } from '../../charts/format';
import { api } from '../../lib/api';
import { useReadOnlyReason } from '../../lib/use-hub';
import { useRun } from '../live/use-run';
import { Outcome } from './Outcome';
import { useCommand, useControlsOff } from './use-command';

/** Goes back to a checkpoint: a branch starts there and this page follows it; the old curves stay. */
export function CheckpointMenu(): React.ReactNode {
  const { runId, store } = useRun();
  const router = useRouter();
  const dialog = useRef<HTMLDialogElement>(null);
  const { give, record, isPending } = useCommand();
  const off = useControlsOff();
  const readOnlyReason = useReadOnlyReason();
  const [problem, setProblem] = useState('');
  const run = store.runSummary;
  const ended = run ? hasEnded(run.state) : false;
  const checkpoints = store.controlEvents.filter((event) => event.type === 'checkpoint_saved').reverse();

  // The hub names the branch when it takes the command.
  const action = record?.state === 'applied' ? record.action : undefined;
  const branchRunId = action?.kind === 'restore_checkpoint' ? action.branchRunId : undefined;
  useEffect(() => {
    if (branchRunId) router.push(`/runs/?run=${branchRunId}`);
  }, [branchRunId, router]);

  const restore = async (checkpointId: CheckpointId): Promise<void> => {
    dialog.current?.close();
    setProblem('');
    if (!ended) return give({ kind: 'restore_checkpoint', checkpointId });
    // An ended run has no trainer to command: a new one starts from its checkpoint.
    try {
      const branch = await api.startRun({ config: run!.config, from: { runId, checkpointId } });
      router.push(`/runs/?run=${branch.runId}`);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const why = readOnlyReason || (ended ? '' : off) || (checkpoints.length === 0 ? 'No checkpoint yet.' : '');
  return (
    <>
      <button
        type="button"
        className="button"
        disabled={why !== '' || isPending}
        title={why}
        onClick={() => dialog.current?.showModal()}
        data-testid="control-restore"
      >
        Restore …
      </button>
      {problem ? (
        <span className="outcome" data-state="failed" role="alert">
          {problem}
        </span>
      ) : (
        <Outcome record={record} testId="outcome-restore" />
      )}
      <dialog ref={dialog} className="sheet narrow" aria-labelledby="restore-title">
        <header className="sheet-head">
          <h2 id="restore-title">Restore a checkpoint</h2>
          <p>
            {ended ? 'A new run goes on from it as a branch.' : 'This run ends and goes on as a branch from there.'} The
            curves of this run stay.
          </p>
        </header>
        <ul className="checkpoint-list">
          {checkpoints.map((event) => (
            <li key={event.seq}>
              <span>
                <b>step {formatStep(event.step)}</b>
                <span className="dim">
                  {event.checkpointId} · {(event.bytes / 1e6).toFixed(1)} MB · {formatClock(event.wallTimeMs)}
                </span>
              </span>
              <button
                type="button"
                className="button small"
                onClick={() => void restore(event.checkpointId)}
                data-testid={`restore-${event.checkpointId}`}
              >
                Branch from here
              </button>
            </li>
          ))}
        </ul>
        <footer className="sheet-foot">
          <span className="push" />
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
        </footer>
      </dialog>
    </>
  );
}
