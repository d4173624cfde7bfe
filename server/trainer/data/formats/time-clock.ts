import { z } from 'zod';
import type { DataFormat } from './data-format.js';
import { findPicture, PictureField } from './picture-file.js';
import { dataError, parseRecord, readRecords, splitFiles, type FileRecord } from './record-file.js';

const wholeNumber = z.union([
  z.number().int(),
  z.bigint().transform(Number),
  z
    .string()
    .regex(/^\d+$/)
    .transform((text) => Number(text)),
]);
const ClockRecord = z
  .object({
    image: PictureField.nullish(),
    file_name: z.string().min(1).nullish(),
    answer: z.string().nullish(),
    time: z.string().nullish(),
    hour: wholeNumber.nullish(),
    minute: wholeNumber.nullish(),
  })
  .refine(({ image, file_name }) => image ?? file_name, 'it names no picture');
const layout =
  'A record of a clock has an "image" or "file_name", and the time as "answer" or "time" ("3:15") or as "hour" and "minute".';

/**
 * Pictures of clocks with their time, as TimeClock has them on the hub (`image`, `question`, `answer`: "10:08") and as
 * the tables of "It's About Time" (Yang et al. 2022) do (`file_name`, `hour`, `minute`): Parquet, CSV, JSON, JSON lines.
 * The question is always the built-in one and the answer "10 : 08", so that the built-in vocabulary has every word.
 */
export const readTimeClock: DataFormat = async function* (folder) {
  for (const { file, split } of await splitFiles(folder))
    for await (const record of readRecords(file)) {
      const values = parseRecord(ClockRecord, record, layout);
      const picture = findPicture(record, folder, (values.image ?? values.file_name)!);
      yield { ...record, picture, prompt: 'what time is it ?', answer: timeOf(values, record), split };
    }
};

/** The time on a dial: hours 1 to 12, minutes of two digits. */
function timeOf({ answer, time, hour, minute }: z.infer<typeof ClockRecord>, record: FileRecord): string {
  const [, hours, minutes] = /(\d{1,2}):(\d{2})/.exec(answer ?? time ?? '') ?? [undefined, hour, minute];
  if (hours == null || minutes == null) throw dataError(record, 'it has no time', layout);
  const [h, m] = [Number(hours), Number(minutes)];
  if (h > 23 || m > 59) throw dataError(record, `${h}:${m} is no time of day`, layout);
  return `${h % 12 || 12} : ${String(m).padStart(2, '0')}`;
}
