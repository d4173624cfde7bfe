import { existsSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { writeWhole } from '../../whole-file.js';
import { imageToken, type Question } from './data-format.js';
import { pictureKey, type PictureSource } from './picture-file.js';

/** Characters that are written at a time. */
const writeLength = 2 ** 18;

/**
 * Writes a data set as conversations in the JSON that LLaVA is trained on, a record of the data set a record. Pictures are
 * named by their paths from the file's own folder; those that a table holds are written into `images` in it. The file has
 * its name only once it is whole.
 */
export class LlavaFile {
  #count = 0;
  /** Not written yet. */
  #text = '[';

  private constructor(
    private readonly path: string,
    private readonly root: string,
    private readonly file: FileHandle,
  ) {}

  /**
   * @param path of the file, which is not there yet
   * @param root folder of the data set: a record's id is the path of its file from here, with its number
   * @throws Error when the file is there, or its folder is not
   */
  static async create(path: string, root: string): Promise<LlavaFile> {
    refuseTaken(path);
    if (!existsSync(dirname(path))) throw new Error(`There is no folder ${dirname(path)} for ${basename(path)}.`);
    return new LlavaFile(path, root, await open(beside(path), 'w'));
  }

  /** @param questions of one record, and so about one picture */
  async add(questions: readonly Question[]): Promise<void> {
    const [first] = questions;
    if (!first) return;
    const { file, record, picture, split } = first;
    const written = {
      id: `${pathFrom(this.root, file).replace(/\.[^./]+$/, '')}-${record}`,
      image: pathFrom(dirname(this.path), await this.#fileOf(picture)),
      ...(split && { split }),
      conversations: questions.flatMap(({ prompt, answer }, index) => [
        { from: 'human', value: index === 0 ? `${imageToken}\n${prompt}` : prompt },
        { from: 'gpt', value: answer },
      ]),
    };
    this.#text += `${this.#count++ === 0 ? '' : ','}\n${JSON.stringify(written)}`;
    if (this.#text.length > writeLength) await this.#write();
  }

  /** Ends the file and gives it its name. @returns how many records it has */
  async close(): Promise<number> {
    this.#text += '\n]\n';
    await this.#write();
    await this.file.sync();
    await this.file.close();
    refuseTaken(this.path);
    await rename(beside(this.path), this.path);
    return this.#count;
  }

  /** Leaves nothing of the file behind. */
  async discard(): Promise<void> {
    await this.file.close();
    await rm(beside(this.path), { force: true });
  }

  async #write(): Promise<void> {
    await this.file.appendFile(this.#text);
    this.#text = '';
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

/** Where the file grows. */
const beside = (path: string): string => `${path}.writing`;

function refuseTaken(path: string): void {
  if (existsSync(path)) throw new Error(`${path} is there already. Name another file, or remove it.`);
}

const pathFrom = (folder: string, file: string): string => relative(folder, file).split(sep).join('/');
