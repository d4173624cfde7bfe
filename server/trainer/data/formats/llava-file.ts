import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { writeWhole } from '../../whole-file.js';
import type { Question } from './data-format.js';
import { pictureKey, type PictureSource } from './picture-file.js';

/**
 * Writes a data set as conversations in the JSON that LLaVA is trained on, a record of the data set a record. Pictures are
 * named by their paths from the file's own folder; those that a table holds are written into `images` in it.
 */
export class LlavaFile {
  readonly #records: object[] = [];

  private constructor(
    private readonly path: string,
    private readonly root: string,
  ) {}

  /**
   * @param path of the file, which is not there yet
   * @param root folder of the data set: a record's id is the path of its file from here, with its number
   * @throws Error when the file is there, or its folder is not
   */
  static create(path: string, root: string): LlavaFile {
    if (existsSync(path)) throw new Error(`${path} is there already. Name another file, or remove it.`);
    if (!existsSync(dirname(path))) throw new Error(`There is no folder ${dirname(path)} for ${basename(path)}.`);
    return new LlavaFile(path, root);
  }

  /** @param questions of one record, and so about one picture */
  async add(questions: readonly Question[]): Promise<void> {
    const [first] = questions;
    if (!first) return;
    const { file, record, picture, split } = first;
    this.#records.push({
      id: `${pathFrom(this.root, file).replace(/\.[^./]+$/, '')}-${record}`,
      image: pathFrom(dirname(this.path), await this.#fileOf(picture)),
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
    const name = `${pictureKey(picture)}.${picture[0] === 0x89 ? 'png' : 'jpg'}`;
    const file = join(dirname(this.path), 'images', name);
    // Its name is what it holds.
    if (!existsSync(file)) await writeWhole(file, picture);
    return file;
  }
}

const pathFrom = (folder: string, file: string): string => relative(folder, file).split(sep).join('/');
