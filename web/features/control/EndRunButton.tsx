'use client';
import { useRef } from 'react';

/** Ends a run whose trainer does not stop, cannot be told to, or never connected, after a confirmation. */
export function EndRunButton({
  off,
  why,
  onEnd,
}: {
  off: string;
  /** Why its trainer cannot end it, a sentence. */
  why: string;
  onEnd: () => void;
}): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button
        type="button"
        className="button danger"
        disabled={off !== ''}
        title={off || why}
        onClick={() => dialog.current?.showModal()}
        data-testid="control-end"
      >
        End without the trainer
      </button>
      <dialog ref={dialog} className="sheet narrow" aria-labelledby="end-title">
        <header className="sheet-head">
          <h2 id="end-title">End this run without its trainer?</h2>
          <p>
            {why} The run is marked as failed, and nothing that the trainer sends later is taken. A trainer that this
            hub started is killed; it saves no checkpoint.
          </p>
        </header>
        <footer className="sheet-foot">
          <span className="push" />
          <button type="button" className="button" autoFocus onClick={() => dialog.current?.close()}>
            Keep waiting
          </button>
          <button
            type="button"
            className="button danger primary"
            onClick={() => {
              dialog.current?.close();
              onEnd();
            }}
            data-testid="control-end-confirm"
          >
            End run
          </button>
        </footer>
      </dialog>
    </>
  );
}
