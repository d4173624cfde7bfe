import type { Request, RequestHandler, Response } from 'express';
import { ReadAbandonedError } from '../store/event-store.js';
import { callerOf } from './request-budget.js';
import { ReadQueue } from './read-queue.js';
import { haveOthersWait } from './stalled-readers.js';

const maxWaitMs = 30_000;
/** Answers: each may take one processor and its share of the answers' memory. */
const answerLimits = { places: 3, kept: 1, waiting: 256, waitingPerClient: 128, maxWaitMs };
/** Answers of few values: they need little memory, and do not wait for large ones. */
const smallLimits = { ...answerLimits, places: 4 };
/** Downloads: they read in pages, as fast as their receivers. */
const downloadLimits = { places: 4, kept: 1, waiting: 16, waitingPerClient: 8, maxWaitMs };

/** Bytes of one window of a series in the columns of an answer, including the growth of columns. */
const bytesPerWindow = 2.5 * 6 * Float64Array.BYTES_PER_ELEMENT;
/** Most windows of one series in an answer, by the memory that all answers share. */
export const maxSeriesWindows = (answerBytes: number): number =>
  Math.floor(answerBytes / answerLimits.places / bytesPerWindow);

/** @param hasRoom whether memory allows more than one answer at a time */
export const readQueues = (hasRoom: () => boolean): ReadParts['reads'] => ({
  answers: new ReadQueue(answerLimits, hasRoom),
  small: new ReadQueue(smallLimits),
  downloads: new ReadQueue(downloadLimits),
});

/** The queues of routes with heavy reads. */
export interface ReadParts {
  /** For answers, for those of at most `smallAnswerValues` values, and for downloads, which take as long as their receivers. */
  reads: Record<'answers' | 'small' | 'downloads', ReadQueue>;
}

/**
 * A route with a heavy read, which waits for its turn and ends as soon as its reader is gone.
 * A reader that is too slow while others wait is cut off; see cutOffStalledReaders.
 * @param queueOf where it waits
 * @param read must end its work when the signal is aborted
 */
export function heavy(
  queueOf: ReadQueue | ((request: Request) => ReadQueue),
  read: (request: Request, response: Response, signal: AbortSignal) => Promise<void>,
): RequestHandler {
  return async (request, response) => {
    const queue = typeof queueOf === 'function' ? queueOf(request) : queueOf;
    const gone = new AbortController();
    const leave = (): void => gone.abort(new ReadAbandonedError('The reader is gone.'));
    // Listens to the connection: an answer that waits behind another one on its connection gets no event of its own.
    const { socket } = request;
    socket.once('close', leave);
    if (socket.destroyed) leave();
    const { kind, name } = callerOf(response);
    const client = { name: `${kind} ${name}`, isKnown: kind !== 'address' };
    haveOthersWait(response, () => queue.waiting > 0);
    try {
      await queue.run(client, gone.signal, () => read(request, response, gone.signal));
    } finally {
      socket.off('close', leave);
    }
  };
}
