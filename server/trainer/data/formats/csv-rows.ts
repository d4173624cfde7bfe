import { once } from 'node:events';
import { Readable } from 'node:stream';
import { CsvError, parse, type Info } from 'csv-parse';

/** The longest row, in characters: an unclosed quote must not fill the memory. */
const maxRowLength = 64 * 2 ** 20;
const separators = [',', ';', '\t', '|'] as const;

export interface CsvRow {
  fields: string[];
  /** The row's last line, counted from 1. */
  line: number;
}

/**
 * The rows of a CSV table, including the header. The separator is the most frequent one in the first line: a comma, a
 * semicolon, a tab or a bar. Empty lines are skipped.
 * @param text in chunks
 * @param file its name, for the error
 * @throws Error naming the file and the line where quotes are malformed
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
      `${file} cannot be read as a table: ${error.message.slice(0, 300)}. Enclose a field that contains a quote in quotes, and double the ` +
        'quote inside ("a ""b""").',
      { cause: error },
    );
  } finally {
    if (!source.destroyed) {
      source.destroy();
      await once(source, 'close');
    }
  }
}

/** Returns the first line of a text, and all of the text. */
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
