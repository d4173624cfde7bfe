import dynamic from 'next/dynamic';
import { useEffect, useRef, type ComponentType } from 'react';

/**
 * A dialog whose code, with the schemas that check its form, is loaded when it opens, so that pages load without them. If
 * its code cannot be loaded, a dialog says so instead.
 */
export const lazyDialog = <P extends { onClose: () => void }>(
  load: () => Promise<ComponentType<P>>,
): ComponentType<P> => dynamic<P>(() => load().catch((): ComponentType<P> => NotLoaded), { ssr: false });

function NotLoaded({ onClose }: { onClose: () => void }): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="sheet narrow" aria-labelledby="not-loaded-title" onClose={onClose}>
      <header className="sheet-head">
        <h2 id="not-loaded-title">This form could not be loaded</h2>
        <p role="alert" data-testid="form-not-loaded">
          Check that the hub is running, reload the page, then try again.
        </p>
      </header>
      <footer className="sheet-foot">
        <button type="button" className="button push" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </footer>
    </dialog>
  );
}
