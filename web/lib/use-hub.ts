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
/** Why controls are off, and how to get them; empty where this browser may control. */
export function useReadOnlyReason(): string {
  const session = useSession();
  if (session.state === 'opening') return 'Asking the hub what this browser may do …';
  if (session.mayControl) return '';
  return 'This browser may only watch. Open the link that npm start printed; npm run plumbline -- link prints a new one.';
}
