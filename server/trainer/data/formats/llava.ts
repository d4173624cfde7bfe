import { z } from 'zod';
import { splits } from '../task.js';
import { eachRecord, imageToken, type DataFormat } from './data-format.js';
import { findPicture } from './picture-file.js';
import { splitRecords } from './data-set.js';
import { DataError, parseRecord } from './record.js';

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
 * Conversations about pictures in LLaVA's training JSON, one picture per record. Each turn, a question of `human` and
 * the answer of `gpt`, is a question of its own, without earlier turns. A record may give its own `split`, as
 * `plumbline data` writes it.
 */
export const readLlava: DataFormat = (set) =>
  eachRecord(splitRecords(set.path), (record) => {
    const { image, conversations, split = record.split } = parseRecord(LlavaRecord, record, layout);
    const images = typeof image === 'string' ? [image] : (image ?? []);
    if (images.length > 1)
      throw new DataError(
        record,
        `it has a list of ${images.length} pictures`,
        'The model takes one picture per record: split it.',
      );
    const [path = ''] = images;
    if (path === '')
      throw new DataError(
        record,
        'it has no "image"',
        'Every question must be about a picture: remove the record. The format "conversations" reads text alone.',
      );
    const tokens = conversations.flatMap(({ from, value }) =>
      from === 'human' ? value.split(imageToken).slice(1) : [],
    );
    if (tokens.length > 1)
      throw new DataError(
        record,
        `its questions contain ${imageToken} ${tokens.length} times, and it has one picture`,
        'Keep the first.',
      );
    const picture = findPicture(record, set, path);
    return Array.from({ length: Math.ceil(conversations.length / 2) }, (_, turn) => {
      const [human, gpt] = [conversations[2 * turn]!, conversations[2 * turn + 1]];
      if (human.from !== 'human' || gpt?.from !== 'gpt')
        throw new DataError(record, `turn ${turn + 1} is not a question of "human" and an answer of "gpt"`, layout);
      const prompt = human.value.replace(imageToken, ' ').trim();
      if (prompt === '' || gpt.value.trim() === '')
        throw new DataError(record, `turn ${turn + 1} has an empty question or answer`, layout);
      return { ...record, picture, prompt, answer: gpt.value, split };
    });
  });
