'use client';
import { useEffect, useRef, useState } from 'react';
import { planDeletion } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import type { RunSummary } from '@plumbline/shared/run';
import { formatStep } from '../../charts/format';
import { api } from '../../lib/api';
import { stateWords } from '../../lib/words';
import './delete-runs.css';

/**
 * Asks whether runs are to be deleted, says what goes with them and which of them cannot be, and deletes the others one
 * after another. What it lists is as it was when it was opened: nothing moves under the pointer.
 */
export function DeleteRunsDialog({
  chosen,
  runs,
  off,
  onClose,
}: {
  chosen: readonly RunSummary[];
  /** All runs, as they are now. */
  runs: readonly RunSummary[];
  /** Why runs cannot be deleted from this browser; empty where they can. */
  off: string;
  /** @param deleted what went, in the order in which it did */
  onClose: (deleted: readonly DeletedRun[]) => void;
}): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const keep = useRef<HTMLButtonElement>(null);
  const [{ goes, stays }] = useState(() => planDeletion(chosen, runs));
  const [deleted, setDeleted] = useState<readonly DeletedRun[]>([]);
  const [deleting, setDeleting] = useState(false);
  const [problem, setProblem] = useState('');
  // Somebody else may have deleted some meanwhile.
  const left = goes.filter((run) => runs.some(({ runId }) => runId === run.runId));
  const isLeft = (run: RunSummary): boolean => left.includes(run);

  useEffect(() => {
    dialog.current?.showModal();
    // Not the first thing in it, which is an export: what Enter does at once is nothing.
    keep.current?.focus();
  }, []);

  const submit = async (): Promise<void> => {
    setDeleting(true);
    setProblem('');
    try {
      for (const { runId } of left) {
        const gone = await api.deleteRun(runId);
        setDeleted((now) => [...now, gone]);
      }
      dialog.current?.close();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
      setDeleting(false);
    }
  };
  const countWords = (count: number): string => (count === 1 ? '1 run' : `${count} runs`);
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="delete-title" onClose={() => onClose(deleted)}>
      <header className="sheet-head">
        <h2 id="delete-title">
          {goes.length === 0
            ? 'Nothing here can be deleted'
            : goes.length + stays.length === 1
              ? 'Delete this run?'
              : `Delete ${countWords(goes.length)}?`}
        </h2>
        {goes.length > 0 && (
          <p>
            Events, commands and guard rules go from the store, checkpoints and logs from the hub’s data folder. There
            is no way back; an export keeps all but the checkpoints.
          </p>
        )}
      </header>
      <div className="sheet-body">
        {goes.length > 0 && (
          <ul className="delete-list" aria-label="To be deleted" data-testid="delete-goes">
            {goes.map((run) => (
              <li key={run.runId} data-gone={!isLeft(run)}>
                <span>
                  <b>{run.config.name}</b>
                  <span className="dim">
                    <code>{run.runId}</code> · {stateWords[run.state].toLowerCase()} at step {formatStep(run.lastStep)}{' '}
                    · {run.lastSeq.toLocaleString('en-US')} events
                  </span>
                </span>
                {isLeft(run) ? (
                  <a className="button small" href={`/api/runs/${run.runId}/export`} download>
                    Export
                  </a>
                ) : (
                  <span className="dim">deleted</span>
                )}
              </li>
            ))}
          </ul>
        )}
        {stays.length > 0 && (
          <div>
            {goes.length > 0 && <h3 className="field-label">{stays.length === 1 ? 'This one stays' : 'These stay'}</h3>}
            <ul className="delete-list" aria-label="Cannot be deleted" data-testid="delete-stays">
              {stays.map(({ run, why }) => (
                <li key={run.runId}>
                  <span>
                    <b>{run.config.name}</b>
                    <span>{why}</span>
                  </span>
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
      <footer className="sheet-foot">
        <p className="push field-error" role="alert" data-testid="delete-problem">
          {problem || off}
        </p>
        <button type="button" className="button" ref={keep} onClick={() => dialog.current?.close()}>
          {goes.length === 0 || deleted.length > 0 ? 'Close' : 'Keep'}
        </button>
        {goes.length > 0 && (
          <button
            type="button"
            className="button danger primary"
            disabled={off !== '' || deleting || left.length === 0}
            title={off}
            onClick={() => void submit()}
            data-testid="delete-confirm"
          >
            {deleting ? `Deleting, ${countWords(left.length)} left …` : `Delete ${countWords(left.length)}`}
          </button>
        )}
      </footer>
    </dialog>
  );
}
