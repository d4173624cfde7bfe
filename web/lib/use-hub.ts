'use client';
import { useSyncExternalStore } from 'react';
import { hubSocket, type HubConnection } from './hub-socket';
import { sessionStore, type Session } from './session';

const connecting: HubConnection = { state: 'connecting', sinceMs: 0 };
const opening: Session = { state: 'opening' };

export function useConnection(): HubConnection {
  return useSyncExternalStore(
    hubSocket.subscribe,
    () => hubSocket.connection,
    () => connecting,
  );
}
export function useSession(): Session {
  return useSyncExternalStore(
    sessionStore.subscribe,
    () => sessionStore.session,
    () => opening,
  );
}
/** Why controls are off, and how to get them; empty if this browser may control runs. */
export function useReadOnlyReason(): string {
  const session = useSession();
  if (session.state === 'opening') return 'Asking the hub what this browser may do …';
  if (session.mayControl) return '';
  // Without the hub's explanation the session request failed: its problem is shown.
  return session.howToControl ?? session.problem;
}
