import type { IncomingMessage } from 'node:http';
import ipaddr from 'ipaddr.js';
import type { Budget } from './limits.js';
import { KeyedRateLimit, type RateLimit } from './rate-limit.js';
import type { Sessions } from './sessions.js';
import { sameSecret } from './trainer-token.js';

/** The sender of a request: a browser with a session, a program with the trainer token, or an address. */
export interface Caller {
  kind: 'session' | 'trainer' | 'address';
  /** Distinguishes callers of one kind: the session's name, or the network of the address. It grants nothing. */
  name: string;
  /** Where the request comes from. */
  address: string;
}

/** Identifies the sender of a request. */
export class Callers {
  /** @param trustedProxies the number of proxies in front whose forwarded addresses are trusted */
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
    if (given !== null && sameSecret(given, this.token)) return { kind: 'trainer', name: networkOf(address), address };
    return { kind: 'address', name: networkOf(address), address };
  }
}

/** The `Authorization: Bearer` credential of a request, or null. */
export function bearerToken({ headers }: IncomingMessage): string | null {
  return /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? null;
}

/** The address of a request; behind trusted proxies, as the outermost proxy saw it. */
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

/** An IPv4 address, or the /64 network of an IPv6 address: one subscriber has 2^64 of these. */
function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  return parsed.kind() === 'ipv4' ? parsed.toString() : parsed.toByteArray().slice(0, 8).join('.');
}

/** A rate limit for each caller, by its kind. */
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
