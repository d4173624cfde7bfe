import { z } from 'zod';
import { eachRecord, type DataFormat } from './data-format.js';
import { findPicture, PictureField } from './picture-file.js';
import { splitRecords } from './data-set.js';
import { parseRecord } from './record.js';

const PathVqaRecord = z.object({ image: PictureField, question: z.string().min(1), answer: z.string().min(1) });

/**
 * PathVQA (He et al. 2020) as on the Hugging Face hub (`data/train-00000-of-00007.parquet`, …: `image`, `question`,
 * `answer`), or the same rows as JSON or JSON lines whose `image` is a path. The pickled files of the first release are
 * not read.
 */
export const readPathVqa: DataFormat = (set) =>
  eachRecord(splitRecords(set.path), (record) => {
    const layout = 'A record of PathVQA has an "image", a "question" and an "answer".';
    const { image, question, answer } = parseRecord(PathVqaRecord, record, layout);
    return [{ ...record, picture: findPicture(record, set, image), prompt: question, answer }];
  });
