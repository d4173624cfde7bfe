import type { Request, RequestHandler, Response } from 'express';
import { ReadAbandonedError } from '../store/event-store.js';
import { callerOf } from './rate-limit.js';
import { ReadQueue } from './read-queue.js';

const maxWaitMs = 30_000;
/** Each may keep a processor and its share of the answers' memory. */
const answerLimits = { places: 3, waiting: 256, waitingPerClient: 128, maxWaitMs };
/** They read in pages, and go as fast as their readers. */
const downloadLimits = { places: 4, waiting: 16, waitingPerClient: 8, maxWaitMs };

/** Bytes of one window of a series, in the columns that an answer holds; with the room that columns grow by. */
const bytesPerWindow = 2.5 * 6 * Float64Array.BYTES_PER_ELEMENT;
/** Windows of one series that an answer may hold, of the memory that all answers share. */
export const maxSeriesWindows = (answerBytes: number): number =>
  Math.floor(answerBytes / answerLimits.places / bytesPerWindow);

/** @param hasRoom whether memory allows more than one answer at a time */
export const readQueues = (hasRoom: () => boolean): ReadParts['reads'] => ({
  answers: new ReadQueue(answerLimits, hasRoom),
  downloads: new ReadQueue(downloadLimits),
});

/** What a route that reads much needs. */
export interface ReadParts {
  /** For answers; for downloads, which take as long as their readers. */
  reads: { answers: ReadQueue; downloads: ReadQueue };
}

/**
 * A route that reads much: it waits for its turn, and ends as soon as its reader is gone.
 * @param read ends its work when the signal says so
 */
export function heavy(
  queue: ReadQueue,
  read: (request: Request, response: Response, signal: AbortSignal) => Promise<void>,
): RequestHandler {
  return async (request, response) => {
    const gone = new AbortController();
    const leave = (): void => gone.abort(new ReadAbandonedError('The reader is gone.'));
    // Of the connection, and not of the answer: one that waits behind another on its connection is told of no end.
    const { socket } = request;
    socket.once('close', leave);
    if (socket.destroyed) leave();
    const { kind, name } = callerOf(response);
    try {
      await queue.run(`${kind} ${name}`, gone.signal, () => read(request, response, gone.signal));
    } finally {
      socket.off('close', leave);
    }
  };
}
