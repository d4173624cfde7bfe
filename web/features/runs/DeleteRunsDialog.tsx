'use client';
import { useEffect, useRef, useState } from 'react';
import { planDeletion } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { formatStep } from '../../charts/format';
import { api, ApiError } from '../../lib/api';
import { stateWords } from '../../lib/words';
import './delete-runs.css';

/**
 * Asks before runs are deleted, says what goes with them and which of them cannot be deleted, and deletes the others one
 * after another. When it is closed, it waits for the deletion under way and keeps the rest. Its list is fixed when it
 * opens, so that nothing moves under the pointer.
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
  /** Why this browser cannot delete runs; empty if it can. */
  off: string;
  /** @param deleted the deleted runs, in order of deletion */
  onClose: (deleted: readonly DeletedRun[]) => void;
}): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const keep = useRef<HTMLButtonElement>(null);
  const [{ goes, stays }] = useState(() => planDeletion(chosen, runs));
  /** A ref, so that code started before the last render sees the current state. */
  const work = useRef({ isUnderWay: false, isToStop: false, deleted: [] as DeletedRun[] }).current;
  const [deleting, setDeleting] = useState<RunId | null>(null);
  const [stopping, setStopping] = useState(false);
  const [gone, setGone] = useState<readonly RunId[]>([]);
  const [problem, setProblem] = useState('');
  // Somebody else may have deleted some meanwhile. While the connection is down, the hub's messages are missing.
  const left = goes.filter(({ runId }) => !gone.includes(runId) && runs.some((run) => run.runId === runId));
  const isLeft = (run: RunSummary): boolean => left.includes(run);

  useEffect(() => {
    work.isToStop = false;
    dialog.current?.showModal();
    // The first element is an export link. The focus goes elsewhere, so that Enter does nothing at once.
    keep.current?.focus();
    return () => {
      // The page was left.
      work.isToStop = true;
    };
  }, [work]);

  const submit = async (): Promise<void> => {
    work.isUnderWay = true;
    setProblem('');
    try {
      for (const { runId } of left) {
        if (work.isToStop) break;
        setDeleting(runId);
        const deleted = await deleteUnlessGone(runId);
        if (deleted) work.deleted.push(deleted);
        setGone((now) => [...now, runId]);
      }
      work.isUnderWay = false;
      dialog.current?.close();
    } catch (error) {
      work.isUnderWay = work.isToStop = false;
      setProblem(error instanceof Error ? error.message : String(error));
      setDeleting(null);
      setStopping(false);
    }
  };
  /** Closes the dialog: at once, or when the deletion under way has ended. */
  const close = (): void => {
    if (!work.isUnderWay) return dialog.current?.close();
    work.isToStop = true;
    setStopping(true);
  };
  const closed = (): void => {
    if (!work.isUnderWay) return onClose(work.deleted);
    // A browser lets a page refuse Escape only once.
    dialog.current?.showModal();
    close();
  };
  /** Somebody else has deleted them all. */
  const isOver = goes.length > 0 && left.length === 0 && deleting === null;
  const canStop = !stopping && left.some(({ runId }) => runId !== deleting);
  const isDeletingSeveral = deleting !== null && goes.length > 1;
  const keepWords = isDeletingSeveral
    ? 'Stop, keep the rest'
    : goes.length === 0 || gone.length > 0 || isOver
      ? 'Close'
      : 'Keep';
  const doing = stopping ? 'Stopping …' : `Deleting, ${left.length} left …`;
  const deleteWords = deleting === null ? `Delete ${countWords(left.length)}` : doing;
  return (
    <dialog
      ref={dialog}
      className="sheet"
      aria-labelledby="delete-title"
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClose={closed}
    >
      <header className="sheet-head">
        <h2 id="delete-title">
          {goes.length === 0
            ? 'Nothing here can be deleted'
            : isOver
              ? `${goes.length === 1 ? 'This run is' : 'These runs are'} deleted already`
              : goes.length + stays.length === 1
                ? 'Delete this run?'
                : `Delete ${countWords(goes.length)}?`}
        </h2>
        {goes.length > 0 && !isOver && (
          <p>
            This deletes events, commands and guard rules from the store, checkpoints and logs from the hub’s data
            folder. There is no way back; an export keeps all but the checkpoints.
          </p>
        )}
      </header>
      <div className="sheet-body">
        {goes.length > 0 && (
          <ul className="delete-list" aria-label="To be deleted" data-testid="delete-goes">
            {goes.map((run) => (
              <li key={run.runId} data-gone={!isLeft(run)}>
                <span>
                  <b>{run.description.name}</b>
                  <span className="dim">
                    <code>{run.runId}</code> · {stateWords[run.state].toLowerCase()} at step {formatStep(run.lastStep)}{' '}
                    · {run.lastSeq.toLocaleString('en-US')} events
                  </span>
                </span>
                {!isLeft(run) ? (
                  <span className="dim">deleted</span>
                ) : run.runId === deleting ? (
                  <span className="dim">deleting …</span>
                ) : (
                  <a className="button small" href={`/api/runs/${run.runId}/export`} download>
                    Export
                  </a>
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
                    <b>{run.description.name}</b>
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
        <button type="button" className="button" ref={keep} disabled={deleting !== null && !canStop} onClick={close}>
          {keepWords}
        </button>
        {goes.length > 0 && !isOver && (
          <button
            type="button"
            className="button danger primary"
            disabled={off !== '' || deleting !== null || left.length === 0}
            title={off}
            onClick={() => void submit()}
            data-testid="delete-confirm"
          >
            {deleteWords}
          </button>
        )}
      </footer>
    </dialog>
  );
}

const countWords = (count: number): string => (count === 1 ? '1 run' : `${count} runs`);

/** @returns the deleted run; undefined if somebody else was first or the answer was lost @throws ApiError if it stays */
async function deleteUnlessGone(runId: RunId): Promise<DeletedRun | undefined> {
  try {
    return await api.deleteRun(runId);
  } catch (error) {
    if (error instanceof ApiError && error.code === 'not_found') return undefined;
    throw error;
  }
}
