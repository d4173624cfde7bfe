import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { HttpError, InfluxDB, RequestTimedOutError, type FluxTableMetaData } from '@influxdata/influxdb-client';
import { AnswerTooLargeError, ReadAbandonedError, StoreUnavailableError } from './event-store.js';
import { endOfTime } from './influx-lines.js';

export interface InfluxOptions {
  /** e.g. `http://127.0.0.1:8086` */
  url: string;
  org: string;
  bucket: string;
  token: string;
  /** Longest wait for an answer. */
  timeoutMs?: number;
}

/** Result of a write or a deletion. */
export type Delivery =
  /** 204: InfluxDB has it on disk. */
  | { kind: 'stored' }
  /** Try again, not before `retryMs` where InfluxDB has said so. `status` is that of its answer, 0 without one. */
  | { kind: 'later'; problem: string; retryMs: number | null; status: number }
  /** InfluxDB will never accept this, e.g. because a line is invalid or the batch is too large. */
  | { kind: 'refused'; problem: string; status: number };

export type Row = (column: string) => string;

/** How requests reach InfluxDB: over which connections, and how long they wait without a byte. */
interface Connection {
  agent: HttpAgent;
  timeoutMs: number;
  database: InfluxDB;
}

/** Timeout without a byte, on a connection that was used before. */
const firstTimeoutMs = 2500;
/** Deletions scan every series of the bucket. */
const deleteTimeoutMs = 10 * 60_000;

/**
 * The three requests that Plumbline sends to InfluxDB: writes, Flux queries and deletions.
 * A kept-alive connection may be dead without notice, which shows only as silence. So the first attempt of each request has
 * a short timeout; the second is patient and uses a connection of its own.
 */
export class InfluxClient {
  #first: Connection;
  readonly #patient: Connection;
  readonly #writePath: string;
  readonly #timeoutMs: number;

  constructor(readonly options: InfluxOptions) {
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#first = this.#connect(true, Math.min(firstTimeoutMs, this.#timeoutMs));
    this.#patient = this.#connect(false, this.#timeoutMs);
    const query = new URLSearchParams({ org: options.org, bucket: options.bucket, precision: 'ns' });
    this.#writePath = `/api/v2/write?${query}`;
  }

  /**
   * Sends lines once.
   * @param again whether they were sent before without an answer
   */
  async write(lines: string, again = false): Promise<Delivery> {
    const timeoutMs = again ? this.#timeoutMs : Math.min(firstTimeoutMs, this.#timeoutMs);
    try {
      const { database } = again ? this.#patient : this.#first;
      await post(database, this.#writePath, 'text/plain; charset=utf-8', lines, AbortSignal.timeout(timeoutMs));
      return { kind: 'stored' };
    } catch (error) {
      if (!(error instanceof HttpError) && !again) this.#letGo(this.#first.agent);
      return this.#undelivered(error, timeoutMs, refusedLines);
    }
  }

  /**
   * Deletes all points that match the predicate, at any time; repeating it is harmless.
   * @param signal aborts the request, with the result `later`; InfluxDB may have deleted the points all the same
   */
  async delete(bucket: string, predicate: string, signal: AbortSignal): Promise<Delivery> {
    const { org, url, token } = this.options;
    try {
      const database = new InfluxDB({ url, token, timeout: deleteTimeoutMs });
      const path = `/api/v2/delete?${new URLSearchParams({ org, bucket })}`;
      const limit = AbortSignal.any([signal, AbortSignal.timeout(deleteTimeoutMs)]);
      await post(database, path, 'application/json', JSON.stringify({ ...allTimes, predicate }), limit);
      return { kind: 'stored' };
    } catch (error) {
      return this.#undelivered(error, deleteTimeoutMs, refusedDeletions);
    }
  }

  #undelivered(error: unknown, timeoutMs: number, refusals: readonly number[]): Delivery {
    if (error instanceof HttpError && refusals.includes(error.statusCode))
      return { kind: 'refused', problem: error.message, status: error.statusCode };
    return {
      kind: 'later',
      problem: this.explain(isTimeout(error) ? noAnswer(timeoutMs) : error).message,
      retryMs: error instanceof HttpError ? retryAfterMs(error) : null,
      status: error instanceof HttpError ? error.statusCode : 0,
    };
  }

  /**
   * Runs Flux and hands over its rows one by one.
   * @param signal ends the request at once
   * @throws StoreUnavailableError saying what to do, AnswerTooLargeError when `onRow` does, ReadAbandonedError
   */
  async query(flux: string, onRow: (row: Row, table: FluxTableMetaData) => void, signal?: AbortSignal): Promise<void> {
    let rows = 0;
    const counting = (row: Row, table: FluxTableMetaData): void => {
      rows++;
      onRow(row, table);
    };
    // A controller of its own: the library leaves its listener on the signal that it gets.
    const request = new AbortController();
    const abandon = (): void => request.abort();
    signal?.addEventListener('abort', abandon, { once: true });
    try {
      signal?.throwIfAborted();
      const first = this.#first;
      await this.#query(first, flux, counting, request.signal).catch((error: unknown) => {
        if (!(error instanceof RequestTimedOutError)) throw error;
        this.#letGo(first.agent);
        if (rows > 0) throw error;
        return this.#query(this.#patient, flux, onRow, request.signal);
      });
    } catch (error) {
      if (signal?.aborted) throw new ReadAbandonedError('The reader is gone.', { cause: error });
      if (error instanceof AnswerTooLargeError) throw error;
      throw this.explain(error instanceof RequestTimedOutError ? noAnswer(this.#timeoutMs) : error);
    } finally {
      signal?.removeEventListener('abort', abandon);
    }
  }

  async #query(
    { agent, timeoutMs }: Connection,
    flux: string,
    onRow: (row: Row, table: FluxTableMetaData) => void,
    signal: AbortSignal,
  ): Promise<void> {
    // The library takes a signal for a query only among the options of its connection.
    const { url, org, token } = this.options;
    const database = new InfluxDB({ url, token, timeout: timeoutMs, transportOptions: { agent, signal } });
    let table: FluxTableMetaData | undefined;
    let columns = new Map<string, number>();
    let current: string[] = [];
    const row: Row = (column) => current[columns.get(column) ?? -1] ?? '';
    for await (const { values, tableMeta } of database.getQueryApi(org).iterateRows(flux)) {
      if (tableMeta !== table) {
        table = tableMeta;
        columns = new Map(tableMeta.columns.map(({ label, index }) => [label, index]));
      }
      current = values;
      // An error during the answer is in its body: the status was 200 already.
      if (columns.has('error') && columns.has('reference')) throw new Error(row('error'));
      onRow(row, tableMeta);
    }
  }

  #connect(keepAlive: boolean, timeoutMs: number): Connection {
    const { url, token } = this.options;
    const agent = new (url.startsWith('https:') ? HttpsAgent : HttpAgent)({ keepAlive });
    const database = new InfluxDB({ url, token, timeout: timeoutMs, transportOptions: { agent } });
    return { agent, timeoutMs, database };
  }

  /** Drops all idle connections: where one was dead, the others are too. */
  #letGo(agent: HttpAgent): void {
    if (this.#first.agent !== agent) return;
    this.#first = this.#connect(true, Math.min(firstTimeoutMs, this.#timeoutMs));
    agent.maxFreeSockets = 0;
    for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  /** Explains a failure and what an operator can do about it. */
  explain(error: unknown): StoreUnavailableError {
    if (error instanceof StoreUnavailableError) return error;
    const { url, org, bucket } = this.options;
    const cause =
      error instanceof Error ? error.message || String((error as { code?: string }).code ?? error.name) : String(error);
    const status = error instanceof HttpError ? error.statusCode : 0;
    const advice =
      status === 401 || status === 403
        ? `refuses the token. It has to read and write bucket "${bucket}"; npm run plumbline -- influx-setup makes one (PLUMBLINE_INFLUX_TOKEN)`
        : status === 404
          ? `knows no organisation "${org}" with a bucket "${bucket}". npm run plumbline -- influx-setup makes them (PLUMBLINE_INFLUX_ORG, PLUMBLINE_INFLUX_BUCKET)`
          : status === 429
            ? 'asks for fewer requests. The hub waits as long as requested and continues by itself'
            : status >= 500
              ? 'has an internal fault. See its log; the hub continues by itself'
              : status > 0 || error instanceof UnexpectedAnswerError
                ? 'answers like another kind of server. Is this the address of an InfluxDB 2 (PLUMBLINE_INFLUX_URL)? The hub continues by itself'
                : 'does not answer. Start it or check PLUMBLINE_INFLUX_URL; the hub continues by itself';
    return new StoreUnavailableError(`InfluxDB at ${url} ${advice}. (${status ? `${status} ` : ''}${cause})`, {
      cause: error,
    });
  }
}

/** Posts once. @throws the answer if it is not 204, or the signal's reason */
function post(
  { transport }: InfluxDB,
  path: string,
  contentType: string,
  body: string,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let status: number | undefined;
    // An aborted request reports nothing more.
    signal.addEventListener('abort', () => reject(signal.reason as Error));
    const options = { method: 'POST', headers: { 'content-type': contentType }, signal };
    transport.send(path, body, options, {
      responseStarted: (_, statusCode) => (status = statusCode),
      error: reject,
      // Any other status, for instance a proxy's page with 200, is no confirmation.
      complete: () =>
        status === 204 ? resolve() : reject(new UnexpectedAnswerError(`It answered ${status}, not 204.`)),
    });
  });
}

/** Statuses that refuse lines for their content. */
const refusedLines = [400, 413, 422];
/** Deletions are refused as well when the bucket does not exist, or a proxy does not let deletions through. */
const refusedDeletions = [...refusedLines, 404, 405, 501];

const allTimes = { start: '1970-01-01T00:00:00Z', stop: endOfTime };

/** An answer that InfluxDB never gives, perhaps of a proxy. */
class UnexpectedAnswerError extends Error {
  override name = 'UnexpectedAnswerError';
}

const isTimeout = (error: unknown): boolean =>
  error instanceof RequestTimedOutError || (error instanceof DOMException && error.name === 'TimeoutError');

const noAnswer = (timeoutMs: number): Error => new Error(`no answer within ${timeoutMs / 1000} s`);

/** Milliseconds of a Retry-After header, which holds seconds or a date; null without one. */
function retryAfterMs(error: HttpError): number | null {
  const header = error.headers?.['retry-after'];
  if (typeof header !== 'string') return null;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}
