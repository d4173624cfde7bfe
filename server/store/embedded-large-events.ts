import type { RunId } from '@plumbline/shared/run';
import type { Transaction } from './duckdb-file.js';
import type { Reader } from './duckdb-reader.js';
import { newestOf, type LargeEventRange, type TakeTexts } from './event-store.js';
import { largeEventsQuery } from './history-query.js';
import { LongText } from './long-text.js';
import type { StoredEvent } from './protocol-1.js';
import { inBatches } from './series-batches.js';
import { textParts } from './text-parts.js';

/** DuckDB stores longer texts separately and whole; it fails to write its file when a few of them exceed its memory. */
const partBytes = 4000;
/** Bytes of texts in one page, not counting the first text. */
export const maxPageBytes = 2 * 2 ** 20;

/** Adds the JSON text of an event in parts. */
export async function addLargeText(
  transaction: Transaction,
  runId: RunId,
  event: StoredEvent,
  text: string,
): Promise<void> {
  const rows = await transaction.rowsOf('large_events');
  const bytes = BigInt(Buffer.byteLength(text));
  for (const [part, piece] of textParts(text, partBytes).entries())
    rows.append([runId, BigInt(event.seq), BigInt(event.step), event.type, bytes, BigInt(part), piece]);
}

/** Parts in one page of `readLargeTexts`: DuckDB holds the texts of a query several times while sorting. */
const partsPerPage = Math.ceil(maxPageBytes / partBytes);

/**
 * Reads JSON texts that are stored in parts, of events between two numbers, by number. Reads a page of parts at a time.
 * @param condition further condition on the events, in SQL
 * @param isOutline leaves out the parameters and recipes of models
 */
export async function readLargeTexts(
  reader: Reader,
  runId: RunId,
  first: number,
  last: number,
  { condition = 'TRUE', isOutline = false }: { condition?: string; isOutline?: boolean } = {},
): Promise<Map<number, string>> {
  const texts = new Map<number, LongText>();
  for (let from = 0, isAtEnd = false; !isAtEnd; from += partsPerPage) {
    const page = await reader.manyRows(
      `SELECT seq::DOUBLE, part::DOUBLE, text FROM large_events
       WHERE run_id = $1 AND seq BETWEEN $2 AND $3 AND part BETWEEN $4 AND $5 AND ${condition} ORDER BY seq, part`,
      [runId, first, last, from, from + partsPerPage - 1],
    );
    isAtEnd = true;
    for (const [seq, part, piece] of page as [number, number, string][]) {
      const text = texts.get(seq) ?? new LongText(isOutline);
      texts.set(seq, text);
      text.add(piece);
      if (part === from + partsPerPage - 1) isAtEnd = false;
    }
  }
  return new Map([...texts].map(([seq, text]) => [seq, text.toString()]));
}

/** Hands over the newest large events of a range, in order, as texts. @returns how many events of the range are left out */
export async function eachLargeText(
  reader: Reader,
  runId: RunId,
  range: LargeEventRange,
  lastSeq: number,
  take: TakeTexts,
): Promise<number> {
  const { sql, values } = largeEventsQuery(runId, range, lastSeq);
  const found = (await reader.rows(sql, values)) as [seq: number, bytes: number, all: number][];
  const wanted = newestOf(
    found.map(([seq, bytes]) => ({ seq, bytes })),
    range,
  );
  for (const page of inBatches(wanted, ({ bytes }) => bytes, maxPageBytes)) {
    const condition = `type = '${range.type}'`;
    const texts = await readLargeTexts(reader, runId, page[0]!.seq, page.at(-1)!.seq, { condition });
    await reader.hand(() => take(page.map(({ seq }) => texts.get(seq)!)));
  }
  return (found[0]?.[2] ?? 0) - wanted.length;
}
