import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { z } from 'zod';
import { assetPath } from '../asset.js';
import { partsOf, textOf, type Message } from './message.js';
import { readJson, type Tokenizer } from './tokenizer.js';

/** Templates for folders that have none: `templates/<name>.jinja`. */
export const templateNames = [
  'vicuna_v1',
  'mistral_instruct',
  'llava_llama_3',
  'qwen_1_5',
  'qwen2_5_vl',
  'smolvlm',
] as const;
export type TemplateName = (typeof templateNames)[number];

/** The source of a named template. */
export const namedTemplate = (name: TemplateName): string =>
  readFileSync(assetPath(`text/templates/${name}.jinja`), 'utf8');

/**
 * The template of a family of models with pictures, for a folder without one.
 * @param family `model_type` of the configuration
 * @param textModel `text_config.model_type`; LLaVA-NeXT's text models differ in their templates
 * @returns undefined for a text model: nothing but its own template says how it was taught to answer
 */
export function defaultTemplate(family: string, textModel?: string): TemplateName | undefined {
  switch (family) {
    case 'llava':
      return 'vicuna_v1';
    case 'llava_next':
      return textModel === 'mistral' ? 'mistral_instruct' : textModel === 'qwen2' ? 'qwen_1_5' : 'vicuna_v1';
    case 'llava_onevision':
      return 'qwen_1_5';
    case 'qwen2_5_vl':
      return 'qwen2_5_vl';
    case 'smolvlm':
    case 'idefics3':
      return 'smolvlm';
    default:
      return undefined;
  }
}

const TemplateFile = z.object({ chat_template: z.string() });

/**
 * The chat template of a folder in the Hugging Face layout: of `chat_template.jinja`, else of `chat_template.json`, else
 * of `tokenizer_config.json`, else the family's default.
 * @param model its folder, `model_type` and `text_config.model_type`
 * @throws Error saying what to do when a text model has none
 */
export async function templateOfFolder(
  { folder, family, textModel }: { folder: string; family: string; textModel?: string },
  tokenizer: Tokenizer,
): Promise<string> {
  const [own, processor] = [join(folder, 'chat_template.jinja'), join(folder, 'chat_template.json')];
  if (existsSync(own)) return readFile(own, 'utf8');
  if (existsSync(processor)) {
    const file = TemplateFile.safeParse(await readJson(processor));
    if (!file.success) throw new Error(`${processor} has no "chat_template". Get the file again.`);
    return file.data.chat_template;
  }
  if (tokenizer.chatTemplate !== undefined) return tokenizer.chatTemplate;
  // The tokenizer decides here: LLaVA-NeXT's configuration calls both Vicuna and Llama 3 "llama".
  const isLlama3 = tokenizer.idOf('<|start_header_id|>') !== undefined;
  const name = family === 'llava_next' && isLlama3 ? 'llava_llama_3' : defaultTemplate(family, textModel);
  if (name !== undefined) return namedTemplate(name);
  throw new Error(
    `${folder} has no chat template, so it is unknown how this model was taught to answer. ` +
      'Put the template of the model that it comes from there as chat_template.jinja, or take the "instruct" or "chat" version of the model.',
  );
}

/** A text that is in no template. */
const probe = 'plumbline probe';

/**
 * A model's chat template, rendered as `apply_chat_template` of transformers does.
 */
export class ChatTemplate {
  readonly #template: Template;
  readonly #variables: Record<string, unknown>;
  /** Whether the template reads a message's content as a text, and as a list of parts. */
  readonly #accepts: { text: boolean; parts: boolean };

  /**
   * @param source the template in Jinja
   * @param tokenizer whose special tokens the template may write
   * @param pictureToken what stands in a text for a picture, for a template that knows text only
   * @throws Error when it is not a Jinja template, or writes no message's text
   */
  constructor(
    source: string,
    tokenizer: Pick<Tokenizer, 'source' | 'bosToken' | 'eosToken'>,
    private readonly pictureToken = '<image>',
  ) {
    this.#variables = {
      bos_token: tokenizer.bosToken ?? '',
      eos_token: tokenizer.eosToken ?? '',
      // Llama 3 writes the day's date where none is given, and a run must not change overnight. This is its own default.
      date_string: '26 Jul 2024',
    };
    try {
      this.#template = new Template(source);
    } catch (error) {
      throw new Error(`${tokenizer.source}: the chat template is not Jinja (${(error as Error).message}).`, {
        cause: error,
      });
    }
    const writes = (content: Message['content']): boolean => {
      try {
        const text = this.#render([{ role: 'user', content }], true);
        // A list that a template joins to a text appears as JSON.
        return text.includes(probe) && !text.includes('"type"');
      } catch {
        // The template expects another kind of content.
        return false;
      }
    };
    this.#accepts = { text: writes(probe), parts: writes([{ type: 'text', text: probe }]) };
    if (!this.#accepts.text && !this.#accepts.parts)
      throw new Error(`${tokenizer.source}: the chat template does not write the text of a user's message.`);
  }

  /**
   * @param generationPrompt whether to end with the beginning of the assistant's answer
   * @throws Error with the template's message when it refuses the conversation, e.g. two questions in a row
   */
  render(messages: readonly Message[], generationPrompt: boolean): string {
    const hasPictures = messages.flatMap(partsOf).some(({ type }) => type === 'image');
    const asParts = this.#accepts.parts && (hasPictures || !this.#accepts.text);
    const contents = messages.map((message) => ({
      ...message,
      content: asParts ? partsOf(message) : textOf(message, `${this.pictureToken}\n`),
    }));
    try {
      return this.#render(contents, generationPrompt);
    } catch (error) {
      throw new Error(`The chat template refuses the conversation: ${(error as Error).message}`, { cause: error });
    }
  }

  #render(messages: readonly Message[], add_generation_prompt: boolean): string {
    return this.#template.render({ ...this.#variables, messages, add_generation_prompt });
  }
}
