'use client';
import { formatClock } from '../../charts/format';
import { useConnection } from '../../lib/use-hub';

/** A page that has nothing to show yet, and why where the hub is away. */
export function Loading({ what }: { what: string }): React.ReactNode {
  const connection = useConnection();
  return (
    <main className="blank" role="status">
      <i className="loading-bar" />
      {connection.state === 'down'
        ? `The hub does not answer since ${formatClock(connection.sinceMs)}. This page goes on by itself when it is back.`
        : `Loading ${what} …`}
    </main>
  );
}
