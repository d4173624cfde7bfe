import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { CommandRecord } from '@plumbline/shared/command';
import { NotUtf8Error, textLines, utf8Text } from '@plumbline/shared/utf8-text';
import { StoredEvent } from '../store/protocol-1.js';
import { canonicalJson } from './canonical-json.js';
import {
  archiveFormat,
  archiveVersionOf,
  Digest,
  from,
  headOf,
  inBatches,
  notUtf8,
  readOpening,
  readPart,
  RunDigest,
  StoredRunRecord,
  TransferError,
  type RunArchive,
  type RunFile,
} from './run-archive.js';

const Header = z.object({
  format: z.literal(archiveFormat),
  version: z.number().int(),
  commands: z.number().int().nonnegative(),
  events: z.number().int().nonnegative(),
});
const Footer = z.object({ digest: Digest });
/** The largest line is a `run_started`: about 27 MB with 50,000 parameters. */
const maxLineLength = 64 * 2 ** 20;
const footerBytes = 200;

/**
 * A run as text, one JSON value per line: a header, the run, its commands, its events, and the digest of all lines between
 * the first and the last, so that `sed '1d;$d' FILE | sha256sum` checks it. The last line distinguishes a complete file from
 * a truncated one, and allows streaming the rest.
 */
export async function* jsonLines(archive: RunArchive): AsyncGenerator<string> {
  const { run, commands, lastSeq } = archive;
  const header = { format: archiveFormat, version: archiveVersionOf(run), commands: commands.length, events: lastSeq };
  yield `${canonicalJson(header)}\n`;
  const digest = new RunDigest();
  yield* digest.lines(headOf(archive));
  for await (const events of archive.events()) yield* digest.lines(events);
  yield `${canonicalJson({ digest: digest.value() })}\n`;
}

/**
 * Opens a file that `jsonLines` made. Its events are read on demand.
 * @throws TransferError when it is another kind of file, of a later version, or truncated
 */
export async function openJsonl(path: string): Promise<RunFile> {
  const head: unknown[] = [];
  let header: z.infer<typeof Header> | null = null;
  for await (const { text, number } of lines(path)) {
    if (header === null) header = readOpening(Header, json(text), path);
    else head.push(parsed(text, number, path));
    if (head.length === 1 + header.commands) break;
  }
  if (header === null) throw new TransferError(`${path} is empty. Export the run again.`);
  const footer = Footer.safeParse(json(await lastLine(path)));
  if (!footer.success || head.length < 1 + header.commands)
    throw new TransferError(
      `${path} was cut short: the line with its digest, the last one, is missing. Copy or export it again.`,
    );
  const [run, ...commands] = head;
  const firstEvent = head.length + 2;
  const endLine = firstEvent + header.events;

  async function* events(): AsyncGenerator<StoredEvent> {
    for await (const { text, number } of lines(path)) {
      if (number < firstEvent || (number >= endLine && Footer.safeParse(json(text)).success)) continue;
      yield readPart(StoredEvent, parsed(text, number, path), `Line ${number} of ${path}`);
    }
  }
  const { events: lastSeq } = header;
  return {
    run: readPart(StoredRunRecord, run, `The run in ${path}`),
    commands: commands.map((command, index) => readPart(CommandRecord, command, `Line ${index + 3} of ${path}`)),
    lastSeq,
    events: (fromSeq = 1) => from(fromSeq, inBatches(events(), 1, lastSeq, path)),
    digest: footer.data.digest,
  };
}

/**
 * Lines of a file, numbered from 1.
 * @throws TransferError naming the line that is not UTF-8, or too long for an event
 */
export async function* lines(path: string): AsyncGenerator<{ text: string; number: number }> {
  const chunks = createReadStream(path, { highWaterMark: 2 ** 18 });
  try {
    for await (const { number, text } of textLines(utf8Text(chunks), maxLineLength)) {
      if (text === null) throw new TransferError(`Line ${number} of ${path} is too long for an event.`);
      yield { text, number };
    }
  } catch (error) {
    throw error instanceof NotUtf8Error ? notUtf8(path, error) : error;
  }
}

async function lastLine(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(footerBytes),
      0,
      footerBytes,
      Math.max(0, size - footerBytes),
    );
    return buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n').pop()!;
  } finally {
    await file.close();
  }
}

/** Parses a line; undefined if it is not JSON. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Parses a line. @throws TransferError naming the line if it is not JSON */
export function parsed(text: string, number: number, path: string): unknown {
  const value = json(text);
  if (value === undefined)
    throw new TransferError(`Line ${number} of ${path} is not JSON: the file was cut short or changed.`);
  return value;
}
