import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, parse, relative, sep } from 'node:path';
import type { Question } from './data-format.js';
import { pictureKey, type PictureSource } from './picture-file.js';

/**
 * Writes a data set as conversations in the JSON that LLaVA is trained on, a record of the data set a record. Pictures are
 * named by their paths from the file's own folder; those that a table holds are written into `images` in it.
 */
export class LlavaFile {
  readonly #records: object[] = [];

  private constructor(private readonly path: string) {}

  /** @param path of the file, which is not there yet @throws Error when it is, or when its folder is not */
  static create(path: string): LlavaFile {
    if (existsSync(path)) throw new Error(`${path} is there already. Name another file, or remove it.`);
    if (!existsSync(dirname(path))) throw new Error(`There is no folder ${dirname(path)} for ${basename(path)}.`);
    return new LlavaFile(path);
  }

  /** @param questions of one record, and so about one picture */
  async add(questions: readonly Question[]): Promise<void> {
    const [first] = questions;
    if (!first) return;
    const { file, record, picture, split } = first;
    this.#records.push({
      id: `${parse(file).name}-${record}`,
      image: relative(dirname(this.path), await this.#fileOf(picture))
        .split(sep)
        .join('/'),
      ...(split && { split }),
      conversations: questions.flatMap(({ prompt, answer }, index) => [
        { from: 'human', value: index === 0 ? `<image>\n${prompt}` : prompt },
        { from: 'gpt', value: answer },
      ]),
    });
  }

  /** Writes the file. @returns how many records it has */
  async close(): Promise<number> {
    const lines = this.#records.map((record) => JSON.stringify(record));
    await writeFile(this.path, `[\n${lines.join(',\n')}\n]\n`, { flag: 'wx' });
    return lines.length;
  }

  async #fileOf(picture: PictureSource): Promise<string> {
    if (typeof picture === 'string') return picture;
    const folder = join(dirname(this.path), 'images');
    await mkdir(folder, { recursive: true });
    const file = join(folder, `${pictureKey(picture)}.${picture[0] === 0x89 ? 'png' : 'jpg'}`);
    // Its name is what it holds.
    if (!existsSync(file)) await writeFile(file, picture);
    return file;
  }
}
