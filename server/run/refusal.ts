import { visibleLine } from '@plumbline/shared/plain-text';
import type { ErrorCode, WireError } from '@plumbline/shared/socket';
import { ZodError } from 'zod';
import {
  AnswerTooLargeError,
  ReadInterruptedError,
  ReadTooLargeError,
  SequenceGapError,
  StoreBusyError,
  StoreConflictError,
  StoreUnavailableError,
} from '../store/event-store.js';

/** The default of `retry`: whether the same request may succeed later. */
const mayPass: Record<ErrorCode, boolean> = {
  unauthorized: false,
  forbidden: false,
  not_found: false,
  invalid: false,
  conflict: false,
  // From where the hub stands.
  gap: true,
  too_large: false,
  rate_limited: true,
  store_failed: true,
  draining: true,
  unsupported: false,
  protocol_too_old: false,
  protocol_too_new: false,
  capability_missing: false,
  internal: true,
};

export interface RefusalOptions {
  /** Whether the same request may succeed later. The default depends on the code. */
  retry?: boolean | undefined;
  /** Seconds until a retry makes sense, if known. */
  retryAfterS?: number | undefined;
}

/** A refused request, with the code and message for its sender. */
export class Refusal extends Error {
  override name = 'Refusal';
  readonly retry: boolean;
  readonly retryAfterS: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    { retry = mayPass[code], retryAfterS }: RefusalOptions = {},
  ) {
    super(message);
    this.retry = retry;
    this.retryAfterS = retryAfterS;
  }
}

/** Converts any error into a refusal for the sender. An internal error reveals no details. */
export function toWireError(error: unknown): WireError & { retry: boolean } {
  const { code, message, retry } = refusalOf(error);
  return { code, message, retry };
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof SequenceGapError) return new Refusal('gap', error.message);
  if (error instanceof StoreConflictError) return new Refusal('conflict', error.message);
  if (error instanceof StoreUnavailableError || error instanceof StoreBusyError)
    return new Refusal('store_failed', error.message);
  if (error instanceof ReadTooLargeError || error instanceof ReadInterruptedError)
    return new Refusal('rate_limited', error.message);
  if (error instanceof AnswerTooLargeError) return new Refusal('invalid', error.message);
  if (error instanceof ZodError) return new Refusal('invalid', describeIssues(error));
  return new Refusal('internal', 'The hub failed to do this; its log says why.');
}

/** The most characters of names and messages in a refusal: a sender may make them of any length. */
const shownLength = 120;
const short = (text: string): string => (text.length > shownLength ? `${text.slice(0, shownLength)}…` : text);

/** The first three faults of a message, each with its place. */
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
