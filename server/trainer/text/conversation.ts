import { noLabel } from '../models/model.js';
import { ChatTemplate, templateOfFolder } from './chat-template.js';
import { countPictures, textOf, type Message } from './message.js';
import { MarkerLabels } from './marker-labels.js';
import { Tokenizer } from './tokenizer.js';

/**
 * Which tokens are taught. `answers`: the assistant's answers, each with the token that ends it. `paper`: as
 * arXiv 2510.08564 trains ChatML and Llama 3, see `MarkerLabels`.
 */
export const labelRules = ['answers', 'paper'] as const;
export type LabelRule = (typeof labelRules)[number];

export interface EncodedConversation {
  ids: Int32Array;
  /** The wanted id at each position, or -100. The same length as `ids`. */
  labels: Int32Array;
}

export interface ConversationOptions {
  /**
   * Whether the tokenizer adds what it puts around a text, such as a beginning of text, where the template does not.
   * Processors of models with pictures do so; text models' templates write it themselves.
   */
  specialTokens?: boolean;
  /** The template's own text for a picture; only for models with pictures. */
  pictureToken?: string;
}

/** A piece of a rendered conversation. */
interface Piece {
  text: string;
  isTaught: boolean;
}

/** It marks where a template writes an answer. */
const marker = 'plumbline answer';

/** Encodes conversations of one model: its tokenizer and its chat template. */
export class ConversationEncoder {
  readonly #template: ChatTemplate;
  readonly #specialTokens: boolean;
  readonly #pictureToken: string;
  #markers: MarkerLabels | undefined;

  constructor(
    readonly tokenizer: Tokenizer,
    template: string,
    { specialTokens = false, pictureToken = '<image>' }: ConversationOptions = {},
  ) {
    this.#template = new ChatTemplate(template, tokenizer, pictureToken);
    this.#specialTokens = specialTokens;
    this.#pictureToken = pictureToken;
  }

  /**
   * The encoder of a model's folder in the Hugging Face layout.
   * @param family `model_type` of its configuration
   * @param textModel `text_config.model_type`, for the default template of LLaVA-NeXT
   * @param pictureToken what its template writes for a picture; undefined for a text model
   * @throws Error saying what to do when the tokenizer or a text model's template is missing or damaged
   */
  static async fromFolder(
    folder: string,
    { family, textModel, pictureToken }: { family: string; textModel?: string; pictureToken?: string },
  ): Promise<ConversationEncoder> {
    const tokenizer = await Tokenizer.fromFolder(folder);
    const template = await templateOfFolder(
      { folder, family, ...(textModel !== undefined && { textModel }) },
      tokenizer,
    );
    return new ConversationEncoder(
      tokenizer,
      template,
      pictureToken === undefined ? {} : { pictureToken, specialTokens: true },
    );
  }

  /**
   * Encodes a conversation for training. The ids before each answer are those that `encodePrompt` gives for it.
   * @param pictures the text of each picture, in the order of the conversation
   * @throws Error when the conversation does not end with an answer, when the template changes what it has written as
   *   the conversation goes on, or when the pictures in the text are not those given
   */
  encodeConversation(
    messages: readonly Message[],
    { labels: rule = 'answers', pictures = [] }: { labels?: LabelRule; pictures?: readonly string[] } = {},
  ): EncodedConversation {
    if (messages.at(-1)?.role !== 'assistant')
      throw new Error('The conversation does not end with an answer of the assistant. Remove its last message.');
    const { pieces } = this.#pieces(messages);
    const { ids, taught } = this.#encode(pieces, messages, pictures);
    const labels = Int32Array.from(ids, (id, index) => (taught[index] ? id : noLabel));
    if (rule === 'paper') this.#markersOf().label(ids, labels);
    return { ids: Int32Array.from(ids), labels };
  }

  /**
   * Encodes what a model reads before it answers: the conversation and the beginning of an answer.
   * @param messages the last one is not the assistant's
   */
  encodePrompt(messages: readonly Message[], pictures: readonly string[] = []): Int32Array {
    if (messages.at(-1)?.role === 'assistant') throw new Error('The conversation ends with an answer already.');
    const { pieces, rendered } = this.#pieces(messages);
    const prompt = this.#template.render(messages, true);
    const rest = { text: restOf(prompt, rendered, messages.length), isTaught: false };
    return Int32Array.from(this.#encode([...pieces, rest], messages, pictures).ids);
  }

  /** Ids that end an answer: what the template writes after one, and the tokenizer's end of text. */
  endIds(): number[] {
    const { pieces } = this.#pieces([
      { role: 'user', content: 'question' },
      { role: 'assistant', content: 'answer' },
    ]);
    const answer = this.tokenizer.encode(pieces.find(({ isTaught }) => isTaught)!.text);
    const ends = [answer.at(-1), this.tokenizer.eosId].filter((id) => id !== undefined);
    return [...new Set(ends.filter((id) => this.tokenizer.specialIds.has(id)))];
  }

  #markersOf(): MarkerLabels {
    return (this.#markers ??= new MarkerLabels(this.tokenizer));
  }

  /**
   * Cuts a conversation up to its last answer into what is taught and what is not. Templates are programs, so where an
   * answer lies is found by rendering: what comes before it when it is asked for, the same with a marker in its place,
   * and the answer itself.
   * @returns the pieces, and the text of the template that they stand for
   */
  #pieces(messages: readonly Message[]): { pieces: Piece[]; rendered: string } {
    const pieces: Piece[] = [];
    let rendered = '';
    for (const [index, message] of messages.entries()) {
      if (message.role !== 'assistant') continue;
      const before = messages.slice(0, index);
      const prompt = index === 0 ? '' : this.#template.render(before, true);
      const marked = this.#template.render([...before, { role: 'assistant', content: marker }], false);
      const whole = this.#template.render(messages.slice(0, index + 1), false);
      const at = marked.lastIndexOf(marker);
      const [head, tail] = at < 0 ? ['', ''] : [marked.slice(0, at), marked.slice(at + marker.length)];
      const answer = [textOf(message), textOf(message).trim()].find((text) => whole === head + text + tail);
      if (answer === undefined) throw unstable(index, 'it does not write the answer as it is');
      const lead = head.startsWith(prompt) ? head.slice(prompt.length) : '';
      if (!head.startsWith(prompt) && withoutSpace(head) !== withoutSpace(prompt))
        throw unstable(index, `it writes ${quoted(prompt)} to ask for an answer, and ${quoted(head)} before one`);
      restOf(head, rendered, index);
      const { end, written, rest } = this.#endOf(tail);
      pieces.push({ text: restOf(prompt, rendered, index), isTaught: false });
      pieces.push({ text: lead + answer + end, isTaught: true });
      // White space after the last answer belongs to it; any other text is the beginning of a next turn.
      if (index === messages.length - 1 && rest.trim() === '') pieces.push({ text: rest, isTaught: false });
      rendered = head + answer + written;
    }
    return { pieces, rendered };
  }

  /**
   * The end of an answer up to its first special token, what the template writes for it, and what follows. A template
   * that writes no such token (LLaVA 1.5) gets the end of text in the place of white space: a model must learn to stop.
   */
  #endOf(tail: string): { end: string; written: string; rest: string } {
    const special = this.tokenizer.firstSpecial(tail);
    if (special) {
      const end = tail.slice(0, special.end);
      return { end, written: end, rest: tail.slice(special.end) };
    }
    if (this.tokenizer.eosToken === undefined)
      throw new Error(
        `${this.tokenizer.source}: nothing ends an answer. Name an "eos_token" in tokenizer_config.json.`,
      );
    const space = /^\s*/.exec(tail)![0];
    return { end: this.tokenizer.eosToken, written: space, rest: tail.slice(space.length) };
  }

  #encode(
    pieces: readonly Piece[],
    messages: readonly Message[],
    pictures: readonly string[],
  ): { ids: number[]; taught: boolean[] } {
    const count = countPictures(messages);
    if (count !== pictures.length)
      throw new Error(`The conversation has places for ${count} pictures, and ${pictures.length} are given.`);
    let next = 0;
    const ids: number[] = [];
    const taught: boolean[] = [];
    const text = new TextSoFar(this.tokenizer, this.#specialTokens);
    for (const piece of pieces) {
      const withPictures = piece.text.replaceAll(this.#pictureToken, () => pictures[next++] ?? '');
      const added = text.append(withPictures);
      for (const id of added) {
        ids.push(id);
        taught.push(piece.isTaught);
      }
    }
    if (next !== count)
      throw new Error(
        `The template writes ${this.#pictureToken} ${next} times for ${count} pictures. Remove ${this.#pictureToken} from the texts.`,
      );
    return { ids, taught };
  }
}

/** The ids of a text that grows piece by piece: earlier ids stay as they are. */
class TextSoFar {
  #text = '';
  #ids: number[] = [];
  #isFirst = true;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly specialTokens: boolean,
  ) {}

  /** Appends a piece. @returns its ids @throws Error when no ids of the piece continue the text */
  append(piece: string): number[] {
    const text = this.#text + piece;
    const ids = this.#encode(text);
    const isLonger = this.#ids.every((id, index) => ids[index] === id);
    // Text around the border of two pieces may be one token, and a model is asked with the first piece alone.
    const added = isLonger ? ids.slice(this.#ids.length) : this.tokenizer.encode(piece);
    if (!isLonger && this.tokenizer.decode([...this.#ids, ...added]) !== this.tokenizer.decode(ids))
      throw new Error(
        `${this.tokenizer.source}: the tokenizer cannot continue ${quoted(this.#text)} with ${quoted(piece)}.`,
      );
    this.#remember(text, [...this.#ids, ...added]);
    return added;
  }

  #encode(text: string): number[] {
    const { bosToken } = this.tokenizer;
    const hasBeginning = bosToken !== undefined && text.startsWith(bosToken);
    return this.tokenizer.encode(text, { specialTokens: this.specialTokens && this.#isFirst && !hasBeginning });
  }

  /** Nothing before a special token changes what comes after it, so only the last one stays in memory. */
  #remember(text: string, ids: number[]): void {
    const last = ids.at(-1);
    const token = last !== undefined && this.tokenizer.specialIds.has(last) ? this.tokenizer.decode([last]) : '';
    const endsThere = token !== '' && text.endsWith(token);
    this.#text = endsThere ? token : text;
    this.#ids = endsThere ? [last!] : ids;
    if (endsThere) this.#isFirst = false;
  }
}

const withoutSpace = (text: string): string => text.replace(/\s+/g, '');
const quoted = (text: string): string => JSON.stringify(text.length > 60 ? `…${text.slice(-60)}` : text);

/** What a template has added to an earlier text. @throws Error when the earlier text has changed */
function restOf(text: string, earlier: string, index: number): string {
  if (text.startsWith(earlier)) return text.slice(earlier.length);
  let same = 0;
  while (text[same] === earlier[same]) same++;
  const [was, is] = [earlier, text].map((whole) => quoted(whole.slice(Math.max(0, same - 20), same + 40)));
  throw unstable(index, `it writes ${was} first, and ${is} as the conversation goes on`);
}

const unstable = (index: number, why: string): Error =>
  new Error(
    `The chat template changes what it has written by message ${index + 1}: ${why}. ` +
      'Answers cannot be told from questions then. Use a template that only appends (chat_template.jinja in the folder of the model).',
  );
