'use client';
import Link from 'next/link';
import { formatClock } from '../charts/format';
import { useConnection, useReadOnlyReason, useSession } from '../lib/use-hub';
import { ThemeToggle } from './ThemeToggle';

/** The bar of every page: navigation, the connection to the hub, and the rights of this browser. */
export function TopBar(): React.ReactNode {
  const connection = useConnection();
  const session = useSession();
  const readOnlyReason = useReadOnlyReason();
  const mayWatch = session.state !== 'open' || session.mayWatch;
  return (
    <div className="top-bar">
      <Link href="/" className="brand" aria-label="Plumbline: all runs">
        <svg viewBox="0 0 16 20" aria-hidden>
          <path d="M8 1v11" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" />
          <path d="M4 11h8l-4 8z" fill="currentColor" />
        </svg>
        Plumbline
      </Link>
      <nav className="top-nav" aria-label="Pages">
        <Link href="/">Runs</Link>
      </nav>
      <span className="push" />
      {session.state === 'open' && session.mayWatch && !session.mayControl && (
        <span className="read-only" title={readOnlyReason} data-testid="read-only">
          read only
        </span>
      )}
      {mayWatch && (
        <span className="state" data-state={connection.state} role="status" data-testid="hub-connection">
          {connection.state === 'connected' && 'Hub connected'}
          {connection.state === 'connecting' && 'Connecting to hub …'}
          {connection.state === 'down' && (
            <span title={`Since ${formatClock(connection.sinceMs)}; reconnecting`}>
              Hub down<span className="down-since"> since {formatClock(connection.sinceMs)}, reconnecting</span>
            </span>
          )}
        </span>
      )}
      <ThemeToggle />
    </div>
  );
}
