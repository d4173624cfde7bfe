'use client';
import { useRef } from 'react';

/** Stops the run, after a confirmation. */
export function StopButton({
  off,
  pending,
  isBuiltIn,
  onStop,
}: {
  off: string;
  /** Whether the built-in trainer runs it, which saves a checkpoint first. */
  isBuiltIn: boolean;
  pending: boolean;
  onStop: () => void;
}): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button
        type="button"
        className="button danger"
        disabled={off !== '' || pending}
        title={off}
        onClick={() => dialog.current?.showModal()}
        data-testid="control-stop"
      >
        <svg viewBox="0 0 12 12" aria-hidden>
          <path d="M2 2h8v8H2z" />
        </svg>
        Stop
      </button>
      <dialog ref={dialog} className="sheet narrow" aria-labelledby="stop-title">
        <header className="sheet-head">
          <h2 id="stop-title">Stop this run?</h2>
          <p>
            {isBuiltIn
              ? 'It saves a checkpoint and ends. It cannot be resumed, but a checkpoint can be continued as a branch.'
              : 'Its trainer ends it, and decides whether to save a checkpoint first. It cannot be resumed from here.'}
          </p>
        </header>
        <footer className="sheet-foot">
          <span className="push" />
          <button type="button" className="button" autoFocus onClick={() => dialog.current?.close()}>
            Keep running
          </button>
          <button
            type="button"
            className="button danger primary"
            onClick={() => {
              dialog.current?.close();
              onStop();
            }}
            data-testid="control-stop-confirm"
          >
            Stop run
          </button>
        </footer>
      </dialog>
    </>
  );
}
