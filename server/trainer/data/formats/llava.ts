import { z } from 'zod';
import { splits } from '../task.js';
import { eachRecord, type DataFormat } from './data-format.js';
import { findPicture } from './picture-file.js';
import { DataError, parseRecord, splitRecords } from './record-file.js';

const LlavaRecord = z.object({
  image: z.union([z.string(), z.array(z.string())]).optional(),
  split: z.enum(splits).optional(),
  conversations: z
    .array(z.object({ from: z.enum(['human', 'gpt']), value: z.string() }))
    .min(2, 'a conversation has at least a question and its answer'),
});
const layout =
  'A record has an "image" and "conversations": [{"from": "human", "value": "<image>\\n…"}, {"from": "gpt", "value": "…"}, …].';

/**
 * Conversations about pictures in the JSON that LLaVA is trained on, one picture a record. Each turn, a question of
 * `human` and the answer of `gpt`, is a question of its own; earlier turns are not part of it. A record may say its own
 * `split`, as those that `plumbline data` writes do.
 */
export const readLlava: DataFormat = (set) =>
  eachRecord(splitRecords(set.path), (record) => {
    const { image, conversations, split = record.split } = parseRecord(LlavaRecord, record, layout);
    if (image === undefined || image === '')
      throw new DataError(record, 'it has no "image"', 'Every question here is about a picture: take the record out.');
    if (Array.isArray(image))
      throw new DataError(
        record,
        'it has a list of pictures',
        'One picture a record is what the model takes: split it.',
      );
    const picture = findPicture(record, set, image);
    return Array.from({ length: Math.ceil(conversations.length / 2) }, (_, turn) => {
      const [human, gpt] = [conversations[2 * turn]!, conversations[2 * turn + 1]];
      if (human.from !== 'human' || gpt?.from !== 'gpt')
        throw new DataError(record, `turn ${turn + 1} is not a question of "human" and an answer of "gpt"`, layout);
      const prompt = human.value.replaceAll('<image>', ' ').trim();
      if (prompt === '' || gpt.value.trim() === '')
        throw new DataError(record, `turn ${turn + 1} has an empty question or answer`, layout);
      return { ...record, picture, prompt, answer: gpt.value, split };
    });
  });
