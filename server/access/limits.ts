import { maxMessageBytes } from '@plumbline/shared/limits';

/**
 * Every bound on what one client can take of the hub; docs/operations.md has them as a table.
 * Who asks is a session, a trainer that shows the token, or else an address (see Caller). Each has a budget of its own,
 * so that nobody who shares an address with the owner can lock the owner out.
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

/** How a Socket.IO connection stands: it has joined nothing yet, watches without a session, has a session, is a trainer. */
export type Standing = 'arriving' | 'watching' | 'session' | 'trainer';

export interface StandingLimits {
  /** Of one message, in characters; of one polling body, in bytes. */
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

/** Messages of trainers up to this are read to their end, so that what is too large is told. */
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
 * What one trainer connection may have sent without an answer yet: the hub holds it until it is stored. A message of any
 * length is taken while nothing else is unanswered.
 */
export const unansweredLimits = { messages: 16, characters: maxMessageBytes };

/** What one dashboard asks of the hub. */
export const dashboardBudgets = {
  command: { burst: 20, perSecond: 4 },
  watch: { burst: 50, perSecond: 10 },
} as const satisfies Record<string, Budget>;

/** Exports, for each of which all of a run is read. */
export const exportBudget: Budget = { burst: 30, perSecond: 0.5 };

/** A Socket.IO connection that has joined no namespace by then is closed. */
export const joinWithinMs = 20_000;

/** A WebSocket that the hub has closed and the other side has not by then is cut. */
export const closeWithinMs = 10_000;

/** Plain HTTP connections, in milliseconds and in number. */
export const httpLimits = {
  /** A connection that has not sent a whole head by then, or nothing at all, is closed. */
  headersWithinMs: 15_000,
  /** A request whose body has not come by then is refused. */
  requestWithinMs: 60_000,
  /** How often the two are looked at. */
  lookEveryMs: 5_000,
  /** Open connections on which nobody has shown a session or the token. Above that the oldest gives way to the newest. */
  unknownConnections: 500,
  /** Requests that one connection has sent while an earlier one is being answered. Above that it is closed. */
  waitingRequests: 64,
};
