import type { ErrorCode, WireError } from '@plumbline/shared/socket';
import { ZodError } from 'zod';
import {
  AnswerTooLargeError,
  SequenceGapError,
  StoreBusyError,
  StoreConflictError,
  StoreUnavailableError,
} from '../store/event-store.js';

/** Whether the same request may succeed later, unchanged, unless a refusal says otherwise. */
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
  internal: true,
};

/** A request that cannot be met, with the code and the words that its sender gets. */
export class Refusal extends Error {
  override name = 'Refusal';
  /** @param retry whether the same request may succeed later, unchanged */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly retry: boolean = mayPass[code],
  ) {
    super(message);
  }
}

/** What a sender is told about any error; what is not meant for them is `internal` and says nothing of its inside. */
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
  if (error instanceof AnswerTooLargeError) return new Refusal('invalid', error.message);
  if (error instanceof ZodError) return new Refusal('invalid', describeIssues(error));
  return new Refusal('internal', 'The hub failed to do this; its log says why.');
}

/** The first three faults of a message, each with the place it is at. */
function describeIssues(error: ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => (issue.path.length > 0 ? `${issue.path.join('.')}: ${issue.message}` : issue.message))
    .join('; ');
}
