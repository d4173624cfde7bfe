import { z } from 'zod';
import { eachRecord, type DataFormat } from './data-format.js';
import { findPicture, PictureField } from './picture-file.js';
import { splitRecords } from './data-set.js';
import { DataError, parseRecord, WholeNumber, type FileRecord } from './record.js';

const ClockRecord = z
  .object({
    image: PictureField.nullish(),
    file_name: z.string().min(1).nullish(),
    answer: z.string().nullish(),
    time: z.string().nullish(),
    hour: WholeNumber.nullish(),
    minute: WholeNumber.nullish(),
  })
  .refine(({ image, file_name }) => image ?? file_name, 'it names no picture');
const layout =
  'A record of a clock has an "image" or "file_name", and the time as "answer" or "time" ("3:15") or as "hour" and "minute".';

/**
 * Pictures of clocks with their time, as in TimeClock on the Hugging Face hub (`image`, `question`, `answer`: "10:08")
 * and in the tables of "It's About Time" (Yang et al. 2022; `file_name`, `hour`, `minute`): Parquet, CSV, JSON or JSON
 * lines. The question is always the built-in one and the answer has the form "10 : 08", so that the built-in vocabulary
 * has every word.
 */
export const readTimeClock: DataFormat = (set) =>
  eachRecord(splitRecords(set.path), (record) => {
    const values = parseRecord(ClockRecord, record, layout);
    const picture = findPicture(record, set, (values.image ?? values.file_name)!);
    return [{ ...record, picture, prompt: 'what time is it ?', answer: timeOf(values, record) }];
  });

/** The time on a dial: hours 1 to 12, minutes of two digits. */
function timeOf({ answer, time, hour, minute }: z.infer<typeof ClockRecord>, record: FileRecord): string {
  // With more digits on either side it is not a time: "110:08".
  const [, hours, minutes] = /(?<!\d)(\d{1,2}):(\d{2})(?!\d)/.exec(answer ?? time ?? '') ?? [undefined, hour, minute];
  if (hours == null || minutes == null) throw new DataError(record, 'it has no time', layout);
  const [h, m] = [Number(hours), Number(minutes)];
  if (h > 23 || m > 59) throw new DataError(record, `${h}:${m} is not a time of day`, layout);
  return `${h % 12 || 12} : ${String(m).padStart(2, '0')}`;
}
