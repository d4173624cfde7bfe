import { createHash, randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { existsSync, mkdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const linkLifeMs = 24 * 3600_000;
export const sessionLifeMs = 30 * 24 * 3600_000;

const digest = (secret: string): string => createHash('sha256').update(secret).digest('hex');

interface SessionEvents {
  /** A session was given up. */
  closed: [name: string];
}

/**
 * Who may control runs. A one-time link's token is exchanged for a session, kept by the browser as a cookie.
 * Both are random and lie in the data folder as one empty file each, named by their SHA-256 digest: they survive the
 * hub, another process can add a link, using a link is one atomic `unlink`, and reading the folder gives no access.
 */
export class Sessions extends EventEmitter<SessionEvents> {
  readonly cookieName: string;
  readonly #links: string;
  readonly #sessions: string;

  /** @param folder where they lie */
  constructor(folder: string) {
    super();
    this.#links = join(folder, 'links');
    this.#sessions = join(folder, 'sessions');
    // Cookies do not tell ports apart: two hubs on one machine need two names.
    this.cookieName = `plumbline_${digest(folder).slice(0, 8)}`;
    for (const folder of [this.#links, this.#sessions]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** A token that opens one session, once, within a day. */
  createLink(): string {
    return create(this.#links);
  }

  /** A new session's id for a link's token; `null` when the token is unknown, used or too old. */
  open(token: string): string | null {
    const path = join(this.#links, digest(token));
    if (!isFresh(path, linkLifeMs)) return null;
    try {
      unlinkSync(path);
    } catch {
      // Somebody else has just used it.
      return null;
    }
    return create(this.#sessions);
  }

  close(cookieHeader: string | undefined): void {
    const id = this.#idFrom(cookieHeader);
    if (id === null) return;
    rmSync(join(this.#sessions, digest(id)), { force: true });
    this.emit('closed', this.nameOf(cookieHeader));
  }

  /** Whether a request with this `Cookie` header may control runs. */
  mayControl(cookieHeader: string | undefined): boolean {
    const id = this.#idFrom(cookieHeader);
    return id !== null && isFresh(join(this.#sessions, digest(id)), sessionLifeMs);
  }

  /** The name of a session in logs: the beginning of its file's name, which grants nothing. */
  nameOf(cookieHeader: string | undefined): string {
    const id = this.#idFrom(cookieHeader);
    return id === null ? 'none' : digest(id).slice(0, 8);
  }

  #idFrom(cookieHeader = ''): string | null {
    const prefix = `${this.cookieName}=`;
    const pair = cookieHeader.split(';').find((part) => part.trim().startsWith(prefix));
    return pair?.trim().slice(prefix.length) ?? null;
  }
}

function create(folder: string): string {
  const secret = randomBytes(32).toString('base64url');
  writeFileSync(join(folder, digest(secret)), '', { mode: 0o600 });
  return secret;
}

function isFresh(path: string, lifeMs: number): boolean {
  return existsSync(path) && Date.now() - statSync(path).mtimeMs < lifeMs;
}
