/** A piece of a message: text, or the place of a picture. Pictures are numbered in the order of their places. */
export type Part = { type: 'text'; text: string } | { type: 'image' };

export const roles = ['system', 'user', 'assistant'] as const;
export type Role = (typeof roles)[number];

/** One turn of a conversation. */
export interface Message {
  role: Role;
  content: string | readonly Part[];
}

/** The parts of a message; a plain text is one part. */
export const partsOf = ({ content }: Message): readonly Part[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;

/** The text of a message, with `picture` in the place of each picture. */
export const textOf = (message: Message, picture = ''): string =>
  partsOf(message)
    .map((part) => (part.type === 'text' ? part.text : picture))
    .join('');

/** The number of pictures in a conversation. */
export const countPictures = (messages: readonly Message[]): number =>
  messages.flatMap(partsOf).filter(({ type }) => type === 'image').length;
