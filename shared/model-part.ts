/** The part of the model that a parameter belongs to. `head` is the language model's output head; `other` is unknown. */
export const parts = ['language', 'vision', 'projector', 'embedding', 'head', 'other'] as const;

export type Part = (typeof parts)[number];
