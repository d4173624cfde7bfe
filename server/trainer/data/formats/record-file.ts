import { createReadStream } from 'node:fs';
import { extname } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { NotUtf8Error, textLines, utf8Text, type TextLine } from '@plumbline/shared/utf8-text';
import { JSONParser, TokenType } from '@streamparser/json';
import { csvRows } from './csv-rows.js';
import { DataError, type FileRecord, type Place } from './record.js';

export const recordFileTypes = ['.jsonl', '.json', '.parquet', '.csv', '.tsv'] as const;

/** The longest line, in characters; records of text only are far shorter. */
const maxLineLength = 64 * 2 ** 20;

/**
 * Streams the records of a file: a JSON array, JSON lines, a Parquet table, or a CSV table with a header. No file is
 * held in memory whole. A broken line or row yields its error, and reading continues.
 * @param within the key of a JSON file's object that holds the array
 * @throws Error naming the file and the remedy when it cannot be read to its end: earlier records are then not the
 *   whole file
 */
export async function* readRecords(file: string, within?: string): AsyncGenerator<FileRecord | DataError> {
  switch (extname(file).toLowerCase()) {
    case '.parquet':
      return yield* parquetRecords(file);
    case '.csv':
    case '.tsv':
      return yield* csvRecords(file);
    case '.jsonl':
      return yield* lineRecords(file);
    default:
      return yield* listRecords(file, within);
  }
}

/**
 * The text of a file, in chunks.
 * @throws Error naming the file and the position where it is not UTF-8
 */
async function* textOf(file: string): AsyncGenerator<string> {
  try {
    yield* utf8Text(createReadStream(file, { highWaterMark: 2 ** 18 }));
  } catch (error) {
    if (!(error instanceof NotUtf8Error)) throw error;
    throw new Error(`${file} is ${error.message}. Save it as UTF-8, or get the file again.`, { cause: error });
  }
}

/** The lines of a text file. @throws Error naming the file and the position where it is not UTF-8 */
export const linesOf = (file: string): AsyncGenerator<TextLine> => textLines(textOf(file), maxLineLength);

async function* lineRecords(file: string): AsyncGenerator<FileRecord | DataError> {
  for await (const { number: record, text } of linesOf(file)) {
    const place: Place = { file, record };
    if (text === null) yield new DataError(place, `it is longer than ${maxLineLength} characters`, 'Remove it.');
    else if (text.trim() !== '') yield parseLine(text, place);
  }
}

function parseLine(text: string, place: Place): FileRecord | DataError {
  try {
    return { ...place, value: JSON.parse(text) as unknown };
  } catch (error) {
    return new DataError(place, `this is not JSON (${(error as Error).message})`, 'Fix it, or get the file again.');
  }
}

/** The items of a JSON file's list, parsed one by one: files of a gigabyte are usual, and too long for one string. */
async function* listRecords(file: string, within?: string): AsyncGenerator<FileRecord> {
  const parser = new JSONParser({ paths: [within === undefined ? '$.*' : `$.${within}.*`], keepStack: false });
  const notAList = new Error(
    `${file} contains no list of records${within === undefined ? '' : ` under "${within}"`}. Get the file again.`,
  );
  let items: unknown[] = [];
  let fault: string | undefined;
  let isOther = false;
  const isList = listWatch(parser, within);
  parser.onValue = ({ value, parent }) => {
    if (Array.isArray(parent)) items.push(value);
    else isOther = true;
  };
  parser.onError = ({ message }) => {
    fault ??= /ended in (mid-parsing|the middle)/.test(message)
      ? 'it ends too early'
      : message.replace(/ (at|in state) .*$/s, '');
  };
  let record = 0;
  function* parsed(): Generator<FileRecord> {
    for (const value of items) yield { file, record: ++record, value };
    items = [];
    if (isOther) throw notAList;
    if (fault === undefined) return;
    const where = record === 0 ? 'before the end of the first record' : `after record ${record}`;
    throw new Error(`${file} is not JSON (${fault}, ${where}). Fix it, or get the file again.`);
  }
  for await (const text of textOf(file)) {
    parser.write(text);
    yield* parsed();
  }
  if (!parser.isEnded) parser.end();
  yield* parsed();
  if (!isList()) throw notAList;
}

/** Watches whether the list of records has begun: an empty list yields no item. */
function listWatch(parser: JSONParser, within: string | undefined): () => boolean {
  let isList = false;
  let depth = 0;
  let isNext = within === undefined;
  parser.onToken = ({ token, value }) => {
    if (isList) return;
    const isRecords = isNext && depth === (within === undefined ? 0 : 1);
    if (token === TokenType.LEFT_BRACKET && isRecords) isList = true;
    // A colon separates the key from its list.
    if (token !== TokenType.COLON) isNext = token === TokenType.STRING && value === within;
    if (token === TokenType.LEFT_BRACE || token === TokenType.LEFT_BRACKET) depth++;
    if (token === TokenType.RIGHT_BRACE || token === TokenType.RIGHT_BRACKET) depth--;
  };
  return () => isList;
}

async function* csvRecords(file: string): AsyncGenerator<FileRecord | DataError> {
  let head: string[] | undefined;
  let record = 0;
  for await (const { fields, line } of csvRows(textOf(file), file)) {
    if (head === undefined) {
      head = fields;
      const twice = head.find((name, index) => name !== '' && head!.indexOf(name) !== index);
      if (twice !== undefined) throw new Error(`${file} has two columns "${twice}". Give each a different name.`);
      continue;
    }
    const place: Place = { file, record: ++record, line };
    if (fields.length === head.length)
      // An empty field means a missing value, like null in the other file types.
      yield { ...place, value: Object.fromEntries(head.map((name, index) => [name, fields[index] || null])) };
    else
      yield new DataError(
        place,
        `it has ${fields.length} fields, and the header has ${head.length}`,
        'Enclose a field that contains the separator in quotes ("a, b").',
      );
  }
}

/** Rows are read in chunks, so that a table that contains pictures need not fit into memory. */
async function* parquetRecords(file: string): AsyncGenerator<FileRecord> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  try {
    const connection = await instance.connect();
    let record = 0;
    for await (const value of parquetRows(connection, file)) yield { file, record: ++record, value };
  } catch (error) {
    throw new Error(`${file} cannot be read as a table: ${(error as Error).message}. Get the file again.`, {
      cause: error,
    });
  } finally {
    instance.closeSync();
  }
}

/**
 * A result that fails midway ends like a complete one, so the rows are counted.
 * @throws Error when fewer rows can be read than the file declares
 */
async function* parquetRows(connection: DuckDBConnection, file: string): AsyncGenerator<Record<string, unknown>> {
  const counts = await connection.runAndReadAll('SELECT sum(num_rows)::DOUBLE FROM parquet_file_metadata($1)', [file]);
  const all = Number(counts.getRows()[0]![0]);
  const table = await connection.stream('SELECT * FROM read_parquet($1)', [file]);
  let count = 0;
  for await (const rows of table.yieldRowObjectJs()) {
    count += rows.length;
    yield* rows;
  }
  if (count !== all) throw new Error(`it breaks off after ${count} of ${all} rows`);
}
