import { checkWeights, type Shapes } from './check-weights.js';
import { DamagedFileError } from './damaged-file-error.js';
import { isBuffer, tiedNames, treeName, type Family } from './name-map.js';
import { bufferBytes, parts } from './number-format.js';
import { WeightFiles } from './weight-files.js';

/** The weights of a model in a folder of the Hugging Face layout, by the names of our code. */
export class ModelWeights {
  private constructor(
    private readonly files: WeightFiles,
    /** The name on disk of each parameter. */
    private readonly stored: ReadonlyMap<string, string>,
  ) {}

  /**
   * Opens a folder and checks that it holds exactly the wanted weights, whatever the spelling of their names.
   * @param wanted shapes by name, in the module tree of transformers 5; without the head where it is tied
   * @param options.tiedHead the head is the token embedding: either may be stored, or both if they are equal
   * @throws DamagedFileError with what does not fit, and what to do
   */
  static async open(
    folder: string,
    family: Family,
    wanted: Shapes,
    { tiedHead = false }: { tiedHead?: boolean } = {},
  ): Promise<ModelWeights> {
    const files = await WeightFiles.open(folder);
    try {
      const stored = storedNames(files, family, folder);
      if (tiedHead) await untie(files, family, stored, folder);
      const found = new Map([...stored].map(([name, disk]) => [name, files.tensors.get(disk)!.shape]));
      checkWeights(wanted, found, folder);
      for (const name of wanted.keys()) files.weight(stored.get(name)!);
      return new ModelWeights(files, stored);
    } catch (error) {
      await files.close();
      throw error;
    }
  }

  /** Bytes of tensors read so far. */
  get bytesRead(): number {
    return this.files.bytesRead;
  }

  /**
   * Reads a parameter, or some of its rows, as F32. Only one tensor and a bounded buffer are in memory.
   * @param name in the module tree
   * @throws DamagedFileError when the file is cut short meanwhile
   */
  async read(name: string, rows?: { from: number; to: number }): Promise<Float32Array> {
    return this.files.read(this.stored.get(name) ?? name, rows);
  }

  /** SHA-256 of all files, in hex: the identity of a base model. Reads everything once. */
  async digest(): Promise<string> {
    return this.files.digest();
  }

  async close(): Promise<void> {
    await this.files.close();
  }
}

/** Names on disk by names in the module tree; a tensor that the family has no name for keeps its own. */
function storedNames(files: WeightFiles, family: Family, folder: string): Map<string, string> {
  const stored = new Map<string, string>();
  for (const disk of files.tensors.keys()) {
    if (isBuffer(disk)) continue;
    const name = treeName(family, disk) ?? disk;
    const other = stored.get(name);
    if (other !== undefined)
      throw new DamagedFileError(
        `${folder} has ${name} twice, as ${other} and as ${disk}. Remove the files of one of the two spellings.`,
      );
    stored.set(name, disk);
  }
  return stored;
}

/** Leaves only the embedding of a tied pair. @throws DamagedFileError when both are stored and differ */
async function untie(files: WeightFiles, family: Family, stored: Map<string, string>, folder: string): Promise<void> {
  const { head, embedding } = tiedNames(family);
  const [headOnDisk, embeddingOnDisk] = [stored.get(head), stored.get(embedding)];
  if (headOnDisk === undefined) return;
  stored.delete(head);
  if (embeddingOnDisk === undefined) stored.set(embedding, headOnDisk);
  else if (!(await areEqual(files, headOnDisk, embeddingOnDisk)))
    throw new DamagedFileError(
      `${folder} has the tied weights ${headOnDisk} and ${embeddingOnDisk}, and they differ. ` +
        'If the head is a weight of its own, "tie_word_embeddings" in config.json is false.',
    );
}

async function areEqual(files: WeightFiles, one: string, other: string): Promise<boolean> {
  const [shape, otherShape] = [one, other].map((name) => files.tensors.get(name)!.shape) as [number[], number[]];
  if (shape.join() !== otherShape.join()) return false;
  const [count = 1, width = 1] = shape;
  for (const rows of parts(count, Math.max(1, Math.floor(bufferBytes / 4 / width)))) {
    const [a, b] = [await files.read(one, rows), await files.read(other, rows)];
    if (!Buffer.from(a.buffer).equals(Buffer.from(b.buffer))) return false;
  }
  return true;
}
