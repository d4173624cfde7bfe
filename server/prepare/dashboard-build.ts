import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

/** Written into the export: the digest of what it was built from. */
const stampName = '.built-from';
const notSources = new Set(['node_modules', '.next', 'out', 'dist', 'next-env.d.ts']);

/**
 * Builds the dashboard's static export when its sources have changed since the last build.
 * @returns false when there is no export to serve because the build failed; its output has said why
 */
export async function buildDashboard(rootDir: string, say: (line: string) => void): Promise<boolean> {
  const web = join(rootDir, 'web');
  const stamp = join(web, 'out', stampName);
  if (!existsSync(join(web, 'package.json'))) return existsSync(join(web, 'out', 'index.html'));
  const digest = sourceDigest(rootDir);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return true;
  say('Building the dashboard (about half a minute, only after a change) ...');
  const next = createRequire(join(web, 'package.json')).resolve('next/dist/bin/next');
  const child = spawn(process.execPath, [next, 'build'], { cwd: web, stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) return false;
  await compressFiles(join(web, 'out'));
  writeFileSync(stamp, digest);
  return true;
}

/** Writes a `.br` and a `.gz` beside each text file, once, so that the hub compresses nothing while it serves. */
async function compressFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    if (!/\.(html|js|css|svg|txt|json)$/.test(name)) continue;
    const path = join(folder, name);
    const content = await readFile(path);
    const params = { [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
    await writeFile(`${path}.br`, await promisify(brotliCompress)(content, { params }));
    await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: constants.Z_BEST_COMPRESSION }));
  }
}

function sourceDigest(rootDir: string): string {
  const hash = createHash('sha256');
  const files = ['web', 'shared'].flatMap((folder) => sources(join(rootDir, folder)));
  for (const path of [...files, join(rootDir, 'package-lock.json')].sort())
    hash.update(`${relative(rootDir, path)}\0`).update(readFileSync(path));
  return hash.digest('hex');
}

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !notSources.has(name) && !/\.test\.tsx?$|\.tsbuildinfo$/.test(name))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? sources(path) : [path];
    });
}
