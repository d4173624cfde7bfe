import { z } from 'zod';
import type { Message, Role } from '../../text/message.js';
import { splits } from '../task.js';
import { eachRecord, type DataFormat } from './data-format.js';
import { splitRecords } from './data-set.js';
import { DataError, parseRecord, type FileRecord } from './record.js';

const Split = z.enum(splits).nullish();
/** A text, or its parts as in requests to chat models. */
const Text = z.union(
  [
    z.string(),
    z
      .array(z.object({ type: z.literal('text'), text: z.string() }))
      .transform((parts) => parts.map(({ text }) => text).join('')),
  ],
  'this is neither a text nor a list of {"type": "text", "text": "…"}; the format "llava" reads pictures',
);
const speakers = {
  system: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
} as const satisfies Record<string, Role>;
const Speaker = z.enum(Object.keys(speakers) as [keyof typeof speakers]).transform((speaker) => speakers[speaker]);

/** The layouts of a record, by the key that each has. */
const layouts = {
  messages: z
    .object({ messages: z.array(z.object({ role: Speaker, content: Text })), split: Split })
    .transform(({ messages, split }) => ({ messages, split })),
  conversations: z
    .object({ conversations: z.array(z.object({ from: Speaker, value: Text })), split: Split })
    .transform(({ conversations, split }) => ({
      messages: conversations.map(({ from, value }) => ({ role: from, content: value })),
      split,
    })),
  prompt: z
    .object({ system: z.string().nullish(), prompt: z.string(), answer: z.string(), split: Split })
    .transform(({ system, prompt, answer, split }) => ({
      messages: [
        ...(system == null ? [] : [{ role: 'system' as const, content: system }]),
        { role: 'user' as const, content: prompt },
        { role: 'assistant' as const, content: answer },
      ],
      split,
    })),
} as const;
const layout =
  'A record has "messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}, …], or ' +
  '"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}, …], or "prompt" and "answer".';

/**
 * Conversations of text, in JSON, JSON lines, Parquet or CSV: as in requests to chat models, as in LLaVA's JSON without
 * pictures, or a question and its answer. A system message may come first; questions and answers take turns. A record is
 * one question, its last, with all that comes before it. It may give its own `split`.
 */
export const readConversations: DataFormat = (set) =>
  eachRecord(splitRecords(set.path), (record) => {
    const { messages, split } = parseRecord(layouts[layoutOf(record)], record, layout);
    const start = messages[0]?.role === 'system' ? 1 : 0;
    for (const [index, { role }] of messages.entries()) {
      if (index < start) continue;
      const wanted = (index - start) % 2 === 0 ? 'user' : 'assistant';
      if (role !== wanted)
        throw new DataError(
          record,
          `its message ${index + 1} is of the ${role}, and one of the ${wanted} must come there`,
          'Questions and answers take turns. Join messages of the same role, or remove the record.',
        );
    }
    if (messages.length - start < 2 || messages.at(-1)!.role !== 'assistant')
      throw new DataError(record, 'it does not end with an answer', 'Remove the last message, or the record.');
    const [question, answer] = messages.slice(-2) as [Message & { content: string }, Message & { content: string }];
    return [
      {
        ...record,
        picture: undefined,
        before: messages.slice(0, -2),
        prompt: question.content,
        answer: answer.content,
        split: split ?? record.split,
      },
    ];
  });

/** @throws DataError when the record has none of the layouts, or a picture */
function layoutOf(record: FileRecord): keyof typeof layouts {
  const value: Record<string, unknown> =
    typeof record.value === 'object' && record.value !== null ? { ...record.value } : {};
  for (const key of ['image', 'images'])
    if (value[key] != null && value[key] !== '' && !(Array.isArray(value[key]) && value[key].length === 0))
      throw new DataError(record, `it has an "${key}"`, 'The format "llava" reads conversations about pictures.');
  const found = (Object.keys(layouts) as (keyof typeof layouts)[]).find((key) => value[key] != null);
  if (found === undefined) throw new DataError(record, 'it has no conversation', layout);
  return found;
}
