import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId, CommandRecord, Notification } from '@plumbline/shared/command';

export interface WebhookOptions {
  /** Signs each notification; without it, none is sent. */
  secret: string | null;
  /** Hosts that may be called, each as in an address: `hooks.example.org`, or with a port that is not the scheme's own. */
  hosts: readonly string[];
}

/** The record of a notification; its id lets the receiver recognize a repeat. */
export type NotificationRecord = CommandRecord & { action: Notification };
export const isNotification = (record: CommandRecord): record is NotificationRecord => record.action.kind === 'notify';

/** Why a hub with these settings does not call an address, with the remedy; null if it does. */
export function refusedTarget(url: string, { secret, hosts }: WebhookOptions): string | null {
  if (secret === null)
    return 'This hub has no secret to sign webhooks with: set PLUMBLINE_WEBHOOK_SECRET and restart it, or notify nobody.';
  const { host } = new URL(url);
  if (hosts.includes(host)) return null;
  return `This hub may not call ${host}: add it to PLUMBLINE_WEBHOOK_HOSTS and restart it, or notify another host.`;
}

/** `v1=` and the hex HMAC-SHA256 of `<timestamp>.<body>`; the timestamp is in whole seconds. */
export const signatureOf = (secret: string, timestamp: number, body: string): string =>
  `v1=${createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')}`;

export type Delivery = { delivered: true; status: number; attempts: number } | { delivered: false; reason: string };

export interface DeliveryTiming {
  /** The timeout of a request. */
  answerMs: number;
  /** After the first failure; doubled after each further one, up to `longestMs`. */
  firstMs: number;
  longestMs: number;
  /** The upper bound of Retry-After. */
  longestRetryAfterMs: number;
  attempts: number;
  wait: (ms: number, signal: AbortSignal) => Promise<void>;
}
/** Ten attempts over about nine minutes, unless a receiver asks for more time. */
export const defaultTiming: DeliveryTiming = {
  answerMs: 10_000,
  firstMs: 1_000,
  longestMs: 5 * 60_000,
  longestRetryAfterMs: 60 * 60_000,
  attempts: 10,
  wait: async (ms, signal) => void (await sleep(ms, undefined, { signal, ref: false })),
};

/**
 * Sends a notification until it is accepted (any 2xx), refused for good, or out of attempts. It retries a failed connection,
 * a timeout, 408, 429 and 5xx with exponential backoff, or after Retry-After. It follows no redirects: an allowed address
 * could point to a forbidden one.
 * @throws the signal's reason if it is aborted
 */
export async function deliver(
  record: NotificationRecord,
  options: WebhookOptions,
  signal: AbortSignal,
  timing: DeliveryTiming = defaultTiming,
): Promise<Delivery> {
  const { url } = record.action;
  const refusal = refusedTarget(url, options);
  if (refusal !== null) return { delivered: false, reason: refusal };
  const body = bodyOf(record);
  for (let attempt = 1; ; attempt++) {
    const answer = await post(url, record.commandId, body, options.secret!, timing.answerMs, signal);
    if (answer.kind === 'taken') return { delivered: true, status: answer.status, attempts: attempt };
    const { host } = new URL(url);
    if (answer.kind === 'refused') return { delivered: false, reason: `${host} ${answer.what}.` };
    if (attempt >= timing.attempts)
      return { delivered: false, reason: `${host} ${answer.what}, the last of ${attempt} attempts.` };
    const backOffMs = Math.min(timing.longestMs, timing.firstMs * 2 ** (attempt - 1));
    // With jitter, so that hubs do not all return to a recovered receiver at the same moment.
    const jittered = backOffMs * (0.5 + Math.random() / 2);
    await timing.wait(Math.max(jittered, Math.min(answer.afterMs, timing.longestRetryAfterMs)), signal);
  }
}

function bodyOf({ commandId, runId, cause, action }: NotificationRecord): string {
  const { rule, metric, step, value, firedMs } = action;
  return JSON.stringify({ id: commandId, run: runId, rule, metric, step, value, reason: cause ?? '', firedMs });
}

type Answer =
  | { kind: 'taken'; status: number }
  | { kind: 'refused'; what: string }
  /** `afterMs`: the delay that the receiver asked for, or 0. */
  | { kind: 'passing'; what: string; afterMs: number };

async function post(
  url: string,
  id: CommandId,
  body: string,
  secret: string,
  answerMs: number,
  signal: AbortSignal,
): Promise<Answer> {
  signal.throwIfAborted();
  const timestamp = Math.floor(Date.now() / 1000);
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'plumbline',
        'plumbline-id': id,
        'plumbline-timestamp': String(timestamp),
        'plumbline-signature': signatureOf(secret, timestamp, body),
      },
      body,
    });
  } catch (error) {
    signal.throwIfAborted();
    return { kind: 'passing', what: whatFailed(error, answerMs), afterMs: 0 };
  }
  // The body is useless, but an unread body would hold the connection.
  await response.body?.cancel().catch(() => undefined);
  const { status } = response;
  const what = `answered ${status}`;
  if (response.ok) return { kind: 'taken', status };
  if (status >= 300 && status < 400) return { kind: 'refused', what: `${what}, a redirect, which is not followed` };
  if (status !== 408 && status !== 429 && status < 500) return { kind: 'refused', what };
  return { kind: 'passing', what, afterMs: retryAfterMs(response.headers.get('retry-after')) };
}

function whatFailed(error: unknown, answerMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `did not answer within ${answerMs / 1000} s`;
  // The message of a failed fetch says only that it failed.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return `cannot be reached (${cause instanceof Error ? cause.message : String(cause)})`;
}

/** Seconds or a date, as RFC 9110 has it; 0 for anything else. */
function retryAfterMs(header: string | null): number {
  if (header === null) return 0;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}
