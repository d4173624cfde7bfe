import type { IncomingMessage } from 'node:http';
import ipaddr from 'ipaddr.js';
import type { Budget } from './limits.js';
import { KeyedRateLimit, type RateLimit } from './rate-limit.js';
import type { Sessions } from './sessions.js';
import { sameSecret } from './trainer-token.js';

/** Who sends a request: a browser with a session, a program that shows the trainer token, or whoever is at an address. */
export interface Caller {
  kind: 'session' | 'trainer' | 'address';
  /** Tells callers of one kind apart: the session's name, the address. Opens nothing. */
  name: string;
  /** Where the request comes from. */
  address: string;
}

/** Tells who sends a request. */
export class Callers {
  /** @param trustedProxies how many proxies stand in front, whose word on where a request comes from is taken */
  constructor(
    readonly sessions: Sessions,
    readonly token: string,
    readonly trustedProxies: number,
  ) {}

  of(request: IncomingMessage): Caller {
    const address = clientAddress(request, this.trustedProxies);
    const { cookie } = request.headers;
    if (this.sessions.mayControl(cookie)) return { kind: 'session', name: this.sessions.nameOf(cookie), address };
    const given = bearerToken(request);
    if (given !== null && sameSecret(given, this.token)) return { kind: 'trainer', name: '', address };
    return { kind: 'address', name: networkOf(address), address };
  }
}

/** What a request shows as `Authorization: Bearer`; `null` when it shows nothing. */
export function bearerToken({ headers }: IncomingMessage): string | null {
  return /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? null;
}

/** Where a request comes from; behind trusted proxies, what the outermost of them saw. */
export function clientAddress({ headers, socket }: IncomingMessage, trustedProxies: number): string {
  const forwarded = String(headers['x-forwarded-for'] ?? '').split(',');
  const hops = [
    socket.remoteAddress ?? '',
    ...forwarded
      .map((hop) => hop.trim())
      .filter(Boolean)
      .reverse(),
  ];
  return hops[Math.min(trustedProxies, hops.length - 1)]!;
}

/** An IPv4 address, or the /64 network of an IPv6 one: whoever has such an address has 2^64 of them. */
function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  return parsed.kind() === 'ipv4' ? parsed.toString() : parsed.toByteArray().slice(0, 8).join('.');
}

/** A rate limit for each caller, by what kind it is. */
export class CallerBudgets {
  readonly #limits: Record<Caller['kind'], KeyedRateLimit>;

  constructor(budgets: Record<Caller['kind'], Budget>) {
    const { address, session, trainer } = budgets;
    this.#limits = {
      address: new KeyedRateLimit(address),
      session: new KeyedRateLimit(session),
      trainer: new KeyedRateLimit(trainer),
    };
  }

  of({ kind, name }: Caller): RateLimit {
    return this.#limits[kind].of(name);
  }
}
