import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, lstat, mkdir, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';

/** Written last: a backup without it is incomplete. */
const manifestName = 'backup.json';
/** The folder of the runs in a data folder and in a backup. */
const runsFolder = 'runs';
/** A file in a run's folder. Whoever has it can take over the run, so it is neither backed up nor restored. */
const trainerSecret = 'trainer-secret';
const Manifest = z.object({
  format: z.literal('plumbline-backup-1'),
  createdMs: z.number(),
  files: z.array(z.object({ path: z.string(), bytes: z.number(), sha256: z.string() })),
});
type Manifest = z.infer<typeof Manifest>;

export interface BackupSource {
  dataDir: string;
  /** Name of the store's file in a data folder. */
  storeFile: string;
  /** Writes the current store to a new file. */
  copyStore: (path: string) => Promise<void>;
}

/**
 * Copies a data folder into an empty folder: first the store, then the runs' folders with their checkpoints and logs. So
 * every checkpoint in the copied store was on disk before its folder is copied. Leaves out all secrets: the trainer
 * token, sessions, and the secrets of runs' trainers.
 * @returns the number of files and bytes
 * @throws Error when the folder is not empty or lies inside the data folder
 */
export async function makeBackup(
  { dataDir, storeFile, copyStore }: BackupSource,
  folder: string,
): Promise<{ files: number; bytes: number }> {
  if ((resolve(folder) + sep).startsWith(resolve(dataDir) + sep))
    throw new Error(`${folder} lies inside the data folder and would be lost with it. Choose a folder elsewhere.`);
  await demandEmpty(folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await copyStore(join(folder, storeFile));
  await copyTree(dataDir, folder, runsFolder);
  const files: Manifest['files'] = [];
  for (const path of await filesIn(folder)) {
    const file = join(folder, path);
    files.push({ path, bytes: (await stat(file)).size, sha256: await digest(file) });
  }
  const manifest: Manifest = { format: 'plumbline-backup-1', createdMs: Date.now(), files };
  await writeFile(join(folder, manifestName), JSON.stringify(manifest, null, 1));
  return { files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}

export interface RestoreTarget {
  dataDir: string;
  /** Name of the store's file in a data folder. */
  storeFile: string;
  /** Lets any trainer continue the runs of the restored store, because a backup lacks the secrets of their trainers. */
  releaseRuns: (storePath: string) => Promise<void>;
}

/**
 * Makes a data folder from a backup, after a check of every file. Restores only the store and files of runs: a forged
 * backup may list others, such as sessions that would let its author in.
 * @returns the time of the backup, in epoch milliseconds
 * @throws Error when the backup is incomplete or damaged or lists other files, or when the new folder is not empty;
 *   nothing is written then
 */
export async function restoreBackup(
  folder: string,
  { dataDir, storeFile, releaseRuns }: RestoreTarget,
): Promise<number> {
  const text = await readFile(join(folder, manifestName), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw new Error(`${folder} holds no complete backup: it has no ${manifestName}. Choose another backup.`);
  });
  const manifest = readManifest(text, folder);
  refuseForeign(manifest, folder, storeFile);
  await demandEmpty(dataDir);
  const root = await realpath(folder);
  for (const { path, sha256 } of manifest.files) {
    if (!(await isFileItself(root, path)))
      throw new Error(`${join(folder, path)} is not a plain file. Choose another backup.`);
    const found = await digest(join(folder, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (found !== sha256)
      throw new Error(
        `${join(folder, path)} is ${found === null ? 'missing' : 'changed since the backup'}. Choose another backup.`,
      );
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  try {
    for (const { path } of manifest.files) {
      if (isTrainerSecret(path)) continue;
      await mkdir(dirname(join(dataDir, path)), { recursive: true, mode: 0o700 });
      await copyFile(join(folder, path), join(dataDir, path));
    }
    await releaseRuns(join(dataDir, storeFile));
  } catch (error) {
    // The folder was empty before. An incomplete restore must not look complete.
    for (const name of await readdir(dataDir)) await rm(join(dataDir, name), { recursive: true, force: true });
    throw error;
  }
  return manifest.createdMs;
}

function readManifest(text: string, folder: string): Manifest {
  try {
    return Manifest.parse(JSON.parse(text));
  } catch (error) {
    throw new Error(`${join(folder, manifestName)} cannot be read. Choose another backup.`, { cause: error });
  }
}

/** @throws Error when a backup lists a file twice, lists one that is neither the store nor a run's, or lists no store */
function refuseForeign({ files }: Manifest, folder: string, storeFile: string): void {
  const seen = new Set<string>();
  for (const { path } of files) {
    const [top, ...names] = path.split('/');
    const isOfRuns = top === runsFolder && names.length > 0 && names.every(isFileName);
    const wrong =
      path !== storeFile && !isOfRuns ? 'which does not belong in a backup' : seen.has(path) ? 'twice' : undefined;
    if (wrong !== undefined)
      throw new Error(`${join(folder, manifestName)} lists ${JSON.stringify(path)}, ${wrong}. Choose another backup.`);
    seen.add(path);
  }
  if (!seen.has(storeFile))
    throw new Error(`${join(folder, manifestName)} lists no ${storeFile}. Choose another backup.`);
}

/** Whether a path in a backup is the secret of a run's trainer. Older versions copied it. */
const isTrainerSecret = (path: string): boolean => {
  const [top, , ...names] = path.split('/');
  return top === runsFolder && names.join('/') === trainerSecret;
};

/** Whether this is the plain name of a file or folder, so that it cannot lead elsewhere. */
const isFileName = (name: string): boolean =>
  name !== '' && name !== '.' && name !== '..' && !name.includes('\0') && basename(name) === name;

/** Whether the path leads to a plain file without any link; true if nothing is there. */
async function isFileItself(root: string, path: string): Promise<boolean> {
  const file = join(root, path);
  try {
    return (await lstat(file)).isFile() && (await realpath(file)) === file;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

async function demandEmpty(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (names.length > 0) throw new Error(`${folder} is not empty. Name a new folder; nothing is overwritten.`);
}

/**
 * Copies a folder while trainers write to it. Leaves out incomplete files, and those that are removed meanwhile.
 * @param path of the folder, below both `from` and `to`
 */
async function copyTree(from: string, to: string, path: string): Promise<void> {
  const entries = await readdir(join(from, path), { withFileTypes: true }).catch(gone);
  if (!entries) return;
  await mkdir(join(to, path), { recursive: true, mode: 0o700 });
  for (const entry of entries) {
    const below = `${path}/${entry.name}`;
    if (entry.name.endsWith('.writing') || isTrainerSecret(below)) continue;
    if (entry.isDirectory()) await copyTree(from, to, below);
    else await copyFile(join(from, below), join(to, below)).catch(gone);
  }
  const left = new Set(await readdir(join(from, path)).catch(gone));
  // A checkpoint that was removed during the copy would be incomplete.
  if (entries.some(({ name }) => !left.has(name) && !name.endsWith('.writing')) && entries.every((e) => e.isFile()))
    await rm(join(to, path), { recursive: true, force: true });
}

function gone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

/** The paths of all files below a folder, relative to it, with `/`. */
async function filesIn(folder: string, below = ''): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = below ? `${below}/${entry.name}` : entry.name;
    if (entry.isDirectory()) found.push(...(await filesIn(folder, path)));
    else found.push(path);
  }
  return found.sort();
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
