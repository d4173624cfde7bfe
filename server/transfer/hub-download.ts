import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ErrorBody } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import { TransferError } from './run-archive.js';

/**
 * Downloads a run into a jsonl file from a running hub, which has its store locked.
 * @param headers credentials for reading
 * @throws TransferError with the hub's own reason, or when the hub cannot be reached or breaks off
 */
export async function downloadRun(
  hubUrl: string,
  headers: Record<string, string>,
  runId: RunId,
  path: string,
): Promise<void> {
  const response = await fetch(`${hubUrl}/api/runs/${runId}/export`, { headers }).catch((error: unknown) => {
    throw failure(error, `The store is open in another program, and no hub answers at ${hubUrl}`, 'Wait until it ends');
  });
  if (!response.ok) {
    const body = (await response.json().catch(() => null)) as Partial<ErrorBody> | null;
    throw new TransferError(body?.error?.message ?? `The hub at ${hubUrl} answered ${response.status}.`);
  }
  await mkdir(dirname(path), { recursive: true });
  await pipeline(Readable.fromWeb(response.body as never), createWriteStream(path)).catch((error: unknown) => {
    throw failure(error, `The hub at ${hubUrl} broke off`, 'Look at its log');
  });
}

function failure(error: unknown, what: string, advice: string): TransferError {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const cause = inner instanceof Error ? inner.message : String(inner);
  return new TransferError(`${what} (${cause}). ${advice}, then export again.`, { cause: error });
}
