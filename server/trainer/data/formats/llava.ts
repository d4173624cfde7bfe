import { z } from 'zod';
import type { DataFormat } from './data-format.js';
import { findPicture } from './picture-file.js';
import { dataError, parseRecord, readRecords, splitFiles } from './record-file.js';

const LlavaRecord = z.object({
  image: z.union([z.string(), z.array(z.string())]).optional(),
  conversations: z.array(z.object({ from: z.enum(['human', 'gpt']), value: z.string() })).min(2),
});
const layout =
  'A record has an "image" and "conversations": [{"from": "human", "value": "<image>\\n…"}, {"from": "gpt", "value": "…"}, …].';

/**
 * Conversations about pictures in the JSON that LLaVA is trained on, one picture a record. Each turn, a question of
 * `human` and the answer of `gpt`, is a question of its own; earlier turns are not part of it.
 */
export const readLlava: DataFormat = async function* (folder) {
  for (const { file, split } of await splitFiles(folder))
    for await (const record of readRecords(file)) {
      const { image, conversations } = parseRecord(LlavaRecord, record, layout);
      if (image === undefined || image === '')
        throw dataError(record, 'it has no "image"', 'Every question here is about a picture: take the record out.');
      if (Array.isArray(image))
        throw dataError(record, 'it has a list of pictures', 'One picture a record is what the model takes: split it.');
      const picture = findPicture(record, folder, image);
      for (let turn = 0; turn < conversations.length; turn += 2) {
        const [human, gpt] = [conversations[turn]!, conversations[turn + 1]];
        if (human.from !== 'human' || gpt?.from !== 'gpt')
          throw dataError(record, `turn ${turn / 2 + 1} is not a question of "human" and an answer of "gpt"`, layout);
        const question = human.value.replaceAll('<image>', ' ').trim();
        if (question === '' || gpt.value.trim() === '')
          throw dataError(record, `turn ${turn / 2 + 1} has an empty question or answer`, layout);
        yield { ...record, picture, prompt: question, answer: gpt.value, split };
      }
    }
};
