import { visibleLine } from '@plumbline/shared/plain-text';
import type { ErrorCode, WireError } from '@plumbline/shared/socket';
import { ZodError } from 'zod';
import {
  AnswerTooLargeError,
  ReadTooLargeError,
  SequenceGapError,
  StoreBusyError,
  StoreConflictError,
  StoreUnavailableError,
} from '../store/event-store.js';

/** A request that cannot be met, with the code and the words that its sender gets. */
export class Refusal extends Error {
  override name = 'Refusal';
  constructor(
    readonly code: ErrorCode,
    message: string,
    /** Seconds after which to try again, where that is known. */
    readonly retryAfterS?: number,
  ) {
    super(message);
  }
}

/** What a sender is told about any error; what is not meant for them is `internal` and says nothing of its inside. */
export function toWireError(error: unknown): WireError {
  if (error instanceof Refusal) return { code: error.code, message: error.message };
  if (error instanceof SequenceGapError) return { code: 'gap', message: error.message };
  if (error instanceof StoreConflictError) return { code: 'conflict', message: error.message };
  if (error instanceof StoreUnavailableError || error instanceof StoreBusyError)
    return { code: 'store_failed', message: error.message };
  if (error instanceof ReadTooLargeError) return { code: 'rate_limited', message: error.message };
  if (error instanceof AnswerTooLargeError) return { code: 'invalid', message: error.message };
  if (error instanceof ZodError) return { code: 'invalid', message: describeIssues(error) };
  return { code: 'internal', message: 'The hub failed to do this; its log says why.' };
}

/** Names and messages are told up to this many characters: whoever sent them may have made them as long as he likes. */
const shownLength = 120;
const short = (text: string): string => (text.length > shownLength ? `${text.slice(0, shownLength)}…` : text);

/** The first three faults of a message, each with the place it is at. */
function describeIssues(error: ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => {
      const place = issue.path.map((part) => short(String(part))).join('.');
      // What is wrong with a name stands inside.
      const { message } = issue.code === 'invalid_key' ? (issue.issues[0] ?? issue) : issue;
      return visibleLine(place === '' ? short(message) : `${place}: ${short(message)}`);
    })
    .join('; ');
}
