import type { Tokenizer } from './tokenizer.js';

/** The markers of a template: what opens a turn, the role of an answer, and what ends it. */
interface Markers {
  opening: string;
  /** The text between the opening and the answer. */
  header: string;
  kept: readonly string[];
}
const chatMl: Markers = {
  opening: '<|im_start|>',
  header: 'assistant\n',
  kept: ['<|im_start|>', '<|im_end|>'],
};
const llama3: Markers = {
  opening: '<|start_header_id|>',
  header: 'assistant<|end_header_id|>\n\n',
  kept: ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
};

/**
 * The labels of arXiv 2510.08564, as `preprocess_qwen` and `preprocess_llama3` of its code set them: the answers with
 * the header of their turns, and in every turn, the user's and the system's as well, the markers. For ChatML the newline
 * by itself is a marker too.
 */
export class MarkerLabels {
  readonly #kept: ReadonlySet<number>;
  readonly #opening: number;
  readonly #header: readonly number[];

  /** @throws Error when the vocabulary has the markers of neither */
  constructor(tokenizer: Tokenizer) {
    const markers = [chatMl, llama3].find(({ kept }) => kept.every((token) => tokenizer.idOf(token) !== undefined));
    if (!markers)
      throw new Error(
        `${tokenizer.source}: the paper's labels are defined for ChatML and Llama 3, and the vocabulary has neither <|im_start|> nor <|start_header_id|>. Use the labels "answers".`,
      );
    const newline = markers === chatMl ? tokenizer.encode('\n') : [];
    this.#kept = new Set([...markers.kept.map((token) => tokenizer.idOf(token)!), ...newline]);
    this.#opening = tokenizer.idOf(markers.opening)!;
    this.#header = tokenizer.encode(markers.header);
  }

  /** Adds the labels of markers and headers to the answers' labels, in place. */
  label(ids: readonly number[], labels: Int32Array): void {
    for (const [index, id] of ids.entries()) {
      if (this.#kept.has(id)) labels[index] = id;
      if (id === this.#opening && this.#header.every((part, offset) => ids[index + 1 + offset] === part))
        for (const [offset, part] of this.#header.entries()) labels[index + 1 + offset] = part;
    }
  }
}
