import { z } from 'zod';

/** A place in a data set; records count from 1 (lines of a JSONL or text file, rows of a table). */
export interface Place {
  file: string;
  record: number;
  /** The line of the file if records are not lines: the last line of a CSV row. */
  line?: number;
}
export interface FileRecord extends Place {
  value: unknown;
}

/** A fault of a record, with its remedy. */
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
 * Parses a record with its schema.
 * @param layout a sentence that describes such a record
 * @throws DataError with the place and the first fault
 */
export function parseRecord<T>(schema: z.ZodType<T>, record: FileRecord, layout: string): T {
  const parsed = schema.safeParse(record.value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new DataError(record, path.length > 0 ? `"${path.join('.')}": ${message}` : message, layout);
}

/** A whole number of 0 or more. Parquet may give it as a bigint, CSV as digits. */
export const WholeNumber = z
  .union([
    z.number(),
    z.bigint().transform(Number),
    z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
  ])
  .refine((value) => Number.isSafeInteger(value) && value >= 0, 'this is not a whole number of 0 or more');
