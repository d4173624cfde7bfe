import { maxMessageBytes } from '@plumbline/shared/limits';

/**
 * Every bound on what one client can take of the hub; docs/operations.md has them as a table.
 * A caller is a session, a trainer with the token, or else an address (see Caller). Each has its own budget, so that nobody
 * who shares the owner's address can lock the owner out.
 */

/** `burst` at once, then so many a second. */
export interface Budget {
  burst: number;
  perSecond: number;
}

/** Requests to the REST API and `/metrics`. */
export const requestBudgets = {
  address: { burst: 1000, perSecond: 50 },
  session: { burst: 3000, perSecond: 100 },
  trainer: { burst: 3000, perSecond: 100 },
} as const satisfies Record<string, Budget>;

/** Socket.IO connections that are opened. */
export const handshakeBudgets = {
  address: { burst: 300, perSecond: 100 },
  session: { burst: 300, perSecond: 100 },
  trainer: { burst: 1000, perSecond: 100 },
} as const satisfies Record<string, Budget>;

/** The standing of a Socket.IO connection: joined nothing yet, watching without a session, with a session, or a trainer. */
export type Standing = 'arriving' | 'watching' | 'session' | 'trainer';

export interface StandingLimits {
  /** The size of one message in characters, and of one polling body in bytes. */
  messageBytes: number;
  /** A longer message than `messageBytes` is answered as too large up to this; above it, it ends the connection. */
  answeredBytes: number;
  /** In one polling body. */
  packetsPerBody: number;
  /** Packets, and requests of the polling transport; a trainer's are bounded by `unansweredLimits`. */
  packets: Budget | null;
  /** Open at one time, of one caller and of all. */
  perCaller: number;
  total: number;
}

/** The hub reads trainers' messages of up to this size, so that it can answer `too_large`. */
export const maxAnsweredBytes = 2 * maxMessageBytes;

export const standingLimits: Record<Standing, StandingLimits> = {
  arriving: {
    ...{ messageBytes: 16_384, answeredBytes: 16_384, packetsPerBody: 50, packets: { burst: 100, perSecond: 50 } },
    ...{ perCaller: 100, total: 200 },
  },
  watching: {
    ...{ messageBytes: 16_384, answeredBytes: 16_384, packetsPerBody: 200, packets: { burst: 500, perSecond: 200 } },
    ...{ perCaller: 300, total: 1000 },
  },
  session: {
    ...{
      messageBytes: 1024 * 1024,
      answeredBytes: 1024 * 1024,
      packetsPerBody: 200,
      packets: { burst: 500, perSecond: 200 },
    },
    ...{ perCaller: 100, total: 1000 },
  },
  trainer: {
    ...{ messageBytes: maxMessageBytes, answeredBytes: maxAnsweredBytes, packetsPerBody: 1000, packets: null },
    ...{ perCaller: 1000, total: 1000 },
  },
};

/**
 * The bounds on unanswered messages of one trainer connection, which the hub holds until they are stored. A message of any
 * length is accepted while no other is unanswered.
 */
export const unansweredLimits = { messages: 16, characters: maxMessageBytes };

/** WebSocket pings of one connection; more end it. */
export const pingBudget: Budget = { burst: 20, perSecond: 2 };

/** What one dashboard asks of the hub. */
export const dashboardBudgets = {
  command: { burst: 20, perSecond: 4 },
  watch: { burst: 50, perSecond: 10 },
} as const satisfies Record<string, Budget>;

/**
 * The most different selections of series that are watched at one time, and the most names in them: per caller, and for
 * all callers of its kind. The hub applies each selection to every event of the run.
 */
export const watchLimits = {
  address: { perCaller: { selections: 100, names: 5000 }, total: { selections: 200, names: 10_000 } },
  session: { perCaller: { selections: 200, names: 50_000 }, total: { selections: 1000, names: 200_000 } },
  trainer: { perCaller: { selections: 200, names: 50_000 }, total: { selections: 1000, names: 200_000 } },
} as const;
/** A prefix counts as this many names. */
export const namesOfPrefix = 25;

/**
 * Characters of live data that the hub writes in one second, and holds for slow clients: for selections that only callers
 * without a session or the token watch, and for the others. Clients of one selection share a message, which counts once.
 */
export const liveCharacters = { strangers: 16_000_000, known: 32_000_000 } as const;

/** Exports: each reads a whole run. */
export const exportBudget: Budget = { burst: 30, perSecond: 0.5 };

/** The hub closes a Socket.IO connection that has joined no namespace by then. */
export const joinWithinMs = 20_000;

/** The hub cuts a WebSocket if the other side does not complete the close by then. */
export const closeWithinMs = 10_000;

/** Plain HTTP connections, in milliseconds and in number. */
export const httpLimits = {
  /** A connection that has not sent a whole head by then, or nothing at all, is closed. */
  headersWithinMs: 15_000,
  /** A request whose body has not come by then is refused. */
  requestWithinMs: 60_000,
  /** How often the hub checks both. */
  lookEveryMs: 5_000,
  /** Open connections without a session or the token. Above that the hub closes the oldest. */
  unknownConnections: 500,
  /** Pipelined requests of one connection. Above that the hub closes it. */
  waitingRequests: 64,
};
