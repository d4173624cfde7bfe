import type { SessionInfo } from '@plumbline/shared/http';
import { api, ApiError } from './api';
import { hubSocket } from './hub-socket';

/** `withLink`: a link's token is being exchanged. */
export type Session = { state: 'opening'; withLink?: true } | ({ state: 'open'; problem: string } & SessionInfo);

/** What this browser may do at the hub. A one-time token is taken out of the address and exchanged for a session. */
class SessionStore {
  session: Session = { state: 'opening' };
  readonly #listeners = new Set<() => void>();
  #started = false;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (!this.#started) void this.#open();
    return () => this.#listeners.delete(listener);
  };

  async #open(): Promise<void> {
    this.#started = true;
    const address = new URL(location.href);
    const token = address.searchParams.get('token');
    let problem = '';
    if (token !== null) {
      address.searchParams.delete('token');
      history.replaceState(history.state, '', address);
      this.#is({ state: 'opening', withLink: true });
      try {
        const session = await api.openSession(token);
        // The hub reads the right to control when the socket connects.
        hubSocket.reconnect();
        return this.#is({ state: 'open', ...session, problem: '' });
      } catch (error) {
        problem = `The link did not open a session: ${error instanceof Error ? error.message : String(error)}`;
        hubSocket.reconnect();
      }
    }
    for (;;) {
      try {
        const session = await api.session();
        // A used link is no problem in a browser that already has its session.
        return this.#is({ state: 'open', ...session, problem: session.mayControl ? '' : problem });
      } catch (error) {
        if (error instanceof ApiError && error.code === 'unreachable') {
          await new Promise((resolve) => setTimeout(resolve, 2000));
          continue;
        }
        const said = error instanceof Error ? error.message : String(error);
        return this.#is({ state: 'open', mayControl: false, mayWatch: true, problem: problem || said });
      }
    }
  }
  #is(session: Session): void {
    this.session = session;
    for (const listener of this.#listeners) listener();
  }
}

export const sessionStore = new SessionStore();
