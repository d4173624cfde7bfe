import { z } from 'zod';

/** Where something stands in a data set; records count from 1 (lines of a JSONL or text file, rows of a table). */
export interface Place {
  file: string;
  record: number;
  /** The line of the file, where records are not lines: the last one of a row of CSV. */
  line?: number;
}
export interface FileRecord extends Place {
  value: unknown;
}

/** What is wrong with a record, and what to do about it. */
export class DataError extends Error {
  constructor(
    readonly place: Place,
    readonly wrong: string,
    readonly todo: string,
  ) {
    const { file, record, line } = place;
    super(`${file}, record ${record}${line === undefined ? '' : ` (line ${line})`}: ${wrong}. ${todo}`);
  }
}

/**
 * A record as its schema has it.
 * @param layout a sentence that says what such a record holds
 * @throws DataError with the place and the first thing that is wrong
 */
export function parseRecord<T>(schema: z.ZodType<T>, record: FileRecord, layout: string): T {
  const parsed = schema.safeParse(record.value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new DataError(record, path.length > 0 ? `"${path.join('.')}": ${message}` : message, layout);
}

/** A whole number of 0 or more. Parquet may have it as a big one; CSV has it as digits. */
export const WholeNumber = z
  .union([
    z.number(),
    z.bigint().transform(Number),
    z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
  ])
  .refine((value) => Number.isSafeInteger(value) && value >= 0, 'this is no whole number of 0 or more');
