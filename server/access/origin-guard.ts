import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

export interface GuardOptions {
  allowedHosts: readonly string[];
  allowedOrigins: readonly string[];
}

/**
 * Why a request must not be answered; `null` when it may.
 * A page of another site can make a browser send requests here: by DNS rebinding (its own name, our address: the Host
 * header shows it; a plain address cannot be rebound) or across origins (the Origin header shows it; CORS does not
 * guard WebSockets). Programs that are no browser send no Origin.
 */
export function refusedRequest({ headers }: IncomingMessage, options: GuardOptions): string | null {
  const host = headers.host ?? '';
  const name = hostName(host);
  if (name !== 'localhost' && isIP(name) === 0 && !options.allowedHosts.includes(name))
    return `The hub does not answer for the host "${name}". To allow it, set PLUMBLINE_ALLOWED_HOSTS=${name}.`;
  const { origin } = headers;
  if (origin !== undefined && !options.allowedOrigins.includes(origin) && originHost(origin) !== host)
    return `The hub does not answer pages of "${origin}". To allow it, set PLUMBLINE_ALLOWED_ORIGINS=${origin}.`;
  return null;
}

/** `[::1]:4517` -> `::1`, `localhost:4517` -> `localhost` */
function hostName(host: string): string {
  return host
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
}

function originHost(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
