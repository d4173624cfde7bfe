import { once } from 'node:events';
import { Readable } from 'node:stream';
import { CsvError, parse, type Info } from 'csv-parse';

/** Characters of the longest row that is read: a quote that is never closed must not fill the memory. */
const maxRowLength = 64 * 2 ** 20;
const separators = [',', ';', '\t', '|'] as const;

export interface CsvRow {
  fields: string[];
  /** The line that it ends in, counted from 1. */
  line: number;
}

/**
 * The rows of a CSV table, the head among them. Fields are apart by what the first line has most of: a comma, a
 * semicolon, a tab or a bar. Empty lines are no rows.
 * @param text in pieces
 * @param file its name, for the error
 * @throws Error naming the file and the line where quotes are not as CSV has them
 */
export async function* csvRows(text: AsyncGenerator<string>, file: string): AsyncGenerator<CsvRow> {
  const { first, whole } = await firstLine(text);
  const parser = parse({
    delimiter: separatorOf(first),
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: maxRowLength,
    info: true,
  });
  const source = Readable.from(whole());
  source.on('error', (error) => parser.destroy(error)).pipe(parser);
  try {
    for await (const row of parser as AsyncIterable<{ record: string[]; info: Info }>)
      yield { fields: row.record, line: row.info.lines };
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new Error(
      `${file} cannot be read as a table: ${error.message.slice(0, 300)}. A field that holds a quote stands in quotes, and the ` +
        'quote in it twice ("a ""b""").',
      { cause: error },
    );
  } finally {
    if (!source.destroyed) {
      source.destroy();
      await once(source, 'close');
    }
  }
}

/** The beginning of a text up to the end of its first line, and all of the text. */
async function firstLine(
  text: AsyncGenerator<string>,
): Promise<{ first: string; whole: () => AsyncGenerator<string> }> {
  let head = '';
  for (let next = await text.next(); !next.done; next = await text.next()) {
    head += next.value;
    if (/[\r\n]/.test(next.value) || head.length > maxRowLength) break;
  }
  async function* whole(): AsyncGenerator<string> {
    yield head;
    yield* text;
  }
  return { first: head.split(/[\r\n]/, 1)[0]!, whole };
}

function separatorOf(line: string): string {
  const counts = separators.map((separator) => line.split(separator).length);
  return separators[counts.indexOf(Math.max(...counts))]!;
}
