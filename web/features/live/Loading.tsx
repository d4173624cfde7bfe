'use client';
import { formatClock } from '../../charts/format';
import { useConnection } from '../../lib/use-hub';

/** A page that is still loading; it says so if the hub is away. */
export function Loading({ what }: { what: string }): React.ReactNode {
  const connection = useConnection();
  return (
    <main className="blank" role="status">
      <i className="loading-bar" />
      {connection.state === 'down'
        ? `The hub has not answered since ${formatClock(connection.sinceMs)}. This page continues when it is back.`
        : `Loading ${what} …`}
    </main>
  );
}
