import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The server package's folder, which contains both the sources and their build. */
function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** Path of a file that ships with the trainer, e.g. `base/model.safetensors`. Builds do not copy these files. */
export const assetPath = (path: string): string => join(packageFolder(), 'trainer', path);
