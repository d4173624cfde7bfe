import { existsSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { writeWhole } from '../../whole-file.js';
import { textOf, type Role } from '../../text/message.js';
import { imageToken, type Question } from './data-format.js';
import { pictureKey, type PictureSource } from './picture-file.js';

/** Characters per write. */
const writeLength = 2 ** 18;

/**
 * Writes a data set as conversations in LLaVA's training JSON, one record per record of the data set. Pictures are
 * named by their paths relative to the file's folder; pictures from inside a table are written into `images` there. The
 * file gets its name only once it is complete.
 */
export class LlavaFile {
  #count = 0;
  /** Text that is not yet written. */
  #text = '[';

  private constructor(
    private readonly path: string,
    private readonly root: string,
    private readonly file: FileHandle,
  ) {}

  /**
   * @param path of the new file
   * @param root folder of the data set: a record's id is its file's path relative to it, with the record's number
   * @throws Error when the file exists or its folder does not
   */
  static async create(path: string, root: string): Promise<LlavaFile> {
    refuseTaken(path);
    if (!existsSync(dirname(path))) throw new Error(`There is no folder ${dirname(path)} for ${basename(path)}.`);
    return new LlavaFile(path, root, await open(beside(path), 'w'));
  }

  /** @param questions of one record, all about one picture or none */
  async add(questions: readonly Question[]): Promise<void> {
    const [first] = questions;
    if (!first) return;
    const { file, record, picture, split, before = [] } = first;
    const written = {
      id: `${pathFrom(this.root, file).replace(/\.[^./]+$/, '')}-${record}`,
      ...(picture !== undefined && { image: pathFrom(dirname(this.path), await this.#fileOf(picture)) }),
      ...(split && { split }),
      conversations: [
        ...before.map((message) => ({ from: speakers[message.role], value: textOf(message) })),
        ...questions.flatMap(({ prompt, answer }, index) => [
          { from: speakers.user, value: picture !== undefined && index === 0 ? `${imageToken}\n${prompt}` : prompt },
          { from: speakers.assistant, value: answer },
        ]),
      ],
    };
    this.#text += `${this.#count++ === 0 ? '' : ','}\n${JSON.stringify(written)}`;
    if (this.#text.length > writeLength) await this.#write();
  }

  /** Completes the file and gives it its name. @returns the number of records */
  async close(): Promise<number> {
    this.#text += '\n]\n';
    await this.#write();
    await this.file.sync();
    await this.file.close();
    refuseTaken(this.path);
    await rename(beside(this.path), this.path);
    return this.#count;
  }

  /** Removes the unfinished file. */
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
    // The name is a digest of the content, so an existing file is equal.
    if (!existsSync(file)) await writeWhole(file, picture);
    return file;
  }
}

/** What LLaVA calls the roles. */
const speakers = { system: 'system', user: 'human', assistant: 'gpt' } as const satisfies Record<Role, string>;

/** The name of the unfinished file. */
const beside = (path: string): string => `${path}.writing`;

function refuseTaken(path: string): void {
  if (existsSync(path)) throw new Error(`${path} exists already. Name another file, or remove it.`);
}

const pathFrom = (folder: string, file: string): string => relative(folder, file).split(sep).join('/');
