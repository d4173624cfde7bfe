import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { z } from 'zod';
import { Vocabulary, vocabularyOf } from '../tokenizer-vocabulary.js';
import { exactPreTokenizer } from './tokenizer-components.js';

const AddedToken = z.looseObject({ content: z.string() });
/** The parts of `tokenizer.json` that are read here; the library reads the others. */
const TokenizerFile = z.looseObject({
  added_tokens: z.array(AddedToken.extend({ id: z.number().int().nonnegative(), special: z.boolean().optional() })),
  model: z.looseObject({ vocab: Vocabulary }),
});
/** A token is its text, or an object with its text; both occur, even in one file. */
const NamedToken = z
  .union([z.string(), AddedToken.transform(({ content }) => content)])
  .nullish()
  .transform((token) => token ?? undefined);
const ConfigFile = z.looseObject({
  bos_token: NamedToken,
  eos_token: NamedToken,
  pad_token: NamedToken,
  unk_token: NamedToken,
  added_tokens_decoder: z
    .record(z.string().regex(/^\d+$/), AddedToken.extend({ special: z.boolean().optional() }))
    .optional(),
  chat_template: z.union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))]).nullish(),
});

/** The parsed contents of `tokenizer.json` and `tokenizer_config.json`. */
export interface TokenizerFiles {
  tokenizer: unknown;
  config: unknown;
}

/** Names of files that hold a tokenizer in a form that is not read here. */
const otherForms = ['tokenizer.model', 'vocab.json', 'spiece.model', 'tekken.json'] as const;

/** A model's tokenizer in the Hugging Face layout. Text becomes the same ids as in `transformers`. */
export class Tokenizer {
  readonly #library: Library;
  readonly #json: unknown;
  /** Matches a special token in a text; undefined if there is none. */
  readonly #specials: RegExp | undefined;
  /** One more than the highest id. Ids between may have no token. */
  readonly size: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** The padding's id; the end of text's where the tokenizer names none. */
  readonly padId: number | undefined;
  /** Ids of the tokens that are no text: markers of turns, places of pictures, ends. */
  readonly specialIds: ReadonlySet<number>;
  /** The chat template of `tokenizer_config.json`. */
  readonly chatTemplate: string | undefined;

  /**
   * @param source the folder or file that the contents come from, for errors
   * @throws Error when the contents are no tokenizer, or of a kind that is not supported
   */
  constructor(
    readonly source: string,
    files: TokenizerFiles,
  ) {
    const config = parsed(ConfigFile, files.config, `${source}: tokenizer_config.json`);
    const file = parsed(TokenizerFile, files.tokenizer, `${source}: tokenizer.json`);
    const named = [config.bos_token, config.eos_token, config.pad_token, config.unk_token];
    const listed = new Set(file.added_tokens.map(({ id }) => id));
    const added = [
      ...file.added_tokens,
      ...Object.entries(config.added_tokens_decoder ?? {})
        .map(([id, token]) => ({ ...token, id: Number(id) }))
        .filter(({ id }) => !listed.has(id)),
    ].map((token) => ({ ...token, special: token.special === true || named.includes(token.content) }));
    const json = { ...file, added_tokens: added, pre_tokenizer: exactPreTokenizer(file['pre_tokenizer']) };
    this.#json = json;
    try {
      this.#library = new Library(json, config);
    } catch (error) {
      const why = (error as Error).message;
      throw new Error(`${source}: this kind of tokenizer cannot be used (${why}). Use a model with another one.`, {
        cause: error,
      });
    }
    const ids = Array.isArray(file.model.vocab) ? [file.model.vocab.length - 1] : Object.values(file.model.vocab);
    let highest = -1;
    for (const id of [...ids, ...added.map((token) => token.id)]) highest = Math.max(highest, id);
    this.size = highest + 1;
    this.specialIds = new Set(added.filter(({ special }) => special).map(({ id }) => id));
    this.#specials = anyOf(added.filter(({ special }) => special).map(({ content }) => content));
    this.bosToken = config.bos_token;
    this.eosToken = config.eos_token;
    this.bosId = this.#namedId(config.bos_token, 'bos_token');
    this.eosId = this.#namedId(config.eos_token, 'eos_token');
    this.padId = this.#namedId(config.pad_token, 'pad_token') ?? this.eosId;
    this.chatTemplate = templateOf(config.chat_template);
  }

  /**
   * Reads `tokenizer.json` and, where there is one, `tokenizer_config.json` of a folder.
   * @throws Error naming the file and the remedy when one is missing or damaged
   */
  static async fromFolder(folder: string): Promise<Tokenizer> {
    const [tokenizer, config] = [join(folder, 'tokenizer.json'), join(folder, 'tokenizer_config.json')];
    if (!existsSync(tokenizer)) {
      const other = otherForms.find((name) => existsSync(join(folder, name)));
      throw new Error(
        `${folder} has no tokenizer.json. ` +
          (other === undefined
            ? "Copy it there from where the model's weights come from."
            : `It has ${other}, which only Python reads: write the file with AutoTokenizer.from_pretrained(folder).save_pretrained(folder) of transformers.`),
      );
    }
    return new Tokenizer(folder, {
      tokenizer: await readJson(tokenizer),
      config: existsSync(config) ? await readJson(config) : {},
    });
  }

  /**
   * @param specialTokens whether to add what the tokenizer puts around a text, such as a beginning of text. Text that a
   *   chat template wrote has its special tokens already.
   * @returns ids. Special tokens that are written in the text become their ids.
   * @throws Error naming a piece of the text that the vocabulary cannot express
   */
  encode(text: string, { specialTokens = false } = {}): number[] {
    const { ids, tokens } = this.#library.encode(text, { add_special_tokens: specialTokens });
    const unknown = ids.findIndex((id: number | undefined) => id === undefined);
    if (unknown >= 0) throw new Error(`${this.source}: the vocabulary has no token for "${tokens[unknown]}".`);
    return ids;
  }

  /**
   * The text of ids. Leaves out a character at the end whose bytes are not all there, so the text of the first ids is
   * always the beginning of the text of more. Leaves out ids without a token as well: a head has more rows than the
   * vocabulary has tokens.
   */
  decode(ids: readonly number[], { skipSpecialTokens = false } = {}): string {
    const known = ids.filter((id) => this.#library.id_to_token(id) !== undefined);
    if (known.length === 0) return '';
    const text = this.#library.decode(known, {
      skip_special_tokens: skipSpecialTokens,
      clean_up_tokenization_spaces: false,
    });
    return text.replace(/\ufffd+$/, '');
  }

  /** The id of one token as it is written in the vocabulary, e.g. `<|im_end|>` or `Ġthe`. */
  idOf(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  /** The text of each id; empty for an id without a token. */
  words(): string[] {
    return vocabularyOf(this.#json);
  }

  /** Where the first special token of a text begins and ends, in UTF-16 code units. */
  firstSpecial(text: string): { start: number; end: number } | undefined {
    const found = this.#specials?.exec(text);
    return found ? { start: found.index, end: found.index + found[0].length } : undefined;
  }

  #namedId(token: string | undefined, name: string): number | undefined {
    if (token === undefined) return undefined;
    const id = this.idOf(token);
    if (id === undefined)
      throw new Error(
        `${this.source}: tokenizer_config.json names ${name} "${token}", which is not in the vocabulary. Take both files from the same model.`,
      );
    return id;
  }
}

/**
 * Checks that a model has a row for every token.
 * @param headRows rows of the model's embedding and head
 * @throws Error with both numbers when the vocabulary is larger
 */
export function checkVocabulary(tokenizer: Tokenizer, headRows: number): void {
  if (tokenizer.size <= headRows) return;
  throw new Error(
    `${tokenizer.source}: the tokenizer has ids up to ${tokenizer.size - 1}, and the model's head has ${headRows} rows. ` +
      'Use the tokenizer that belongs to these weights, or enlarge the embedding and the head in transformers (resize_token_embeddings).',
  );
}

/** Matches any of the texts, the longest first; undefined for none. */
function anyOf(texts: readonly string[]): RegExp | undefined {
  const escaped = texts
    .filter((text) => text !== '')
    .sort((a, b) => b.length - a.length)
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return escaped.length === 0 ? undefined : new RegExp(escaped.join('|'), 'u');
}

/** The template for chats without tools: the only one, or the one named "default". */
const templateOf = (template: z.infer<typeof ConfigFile>['chat_template']): string | undefined =>
  Array.isArray(template) ? template.find(({ name }) => name === 'default')?.template : (template ?? undefined);

/** @throws Error naming the file when it is not JSON */
export async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${file} is not JSON (${(error as Error).message}). Get the file again.`, { cause: error });
  }
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new Error(`${what} is not what it should be: ${z.prettifyError(result.error)}. Get the file again.`);
}
