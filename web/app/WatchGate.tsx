'use client';
import { useSession } from '../lib/use-hub';

/** Shows the pages to browsers that may see runs, and tells others how to get a link. */
export function WatchGate({ children }: { children: React.ReactNode }): React.ReactNode {
  const session = useSession();
  if (session.state === 'opening' && session.withLink)
    return (
      <main className="blank" id="controls" tabIndex={-1} role="status">
        <i className="loading-bar" />
        Opening the link …
      </main>
    );
  if (session.state === 'opening' || session.mayWatch) return children;
  return (
    <main className="blank" id="controls" tabIndex={-1} data-testid="link-needed">
      <h1>This hub asks for a link</h1>
      {session.problem && (
        <p className="notice" data-kind="warn" role="alert">
          {session.problem}
        </p>
      )}
      <p>{session.howToControl}</p>
    </main>
  );
}
