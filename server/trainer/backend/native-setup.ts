import { existsSync, lstatSync, realpathSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipDownload, ProgramError, runToEnd } from '../run-to-end.js';

/*
 * On installation, tfjs-node and tfjs-node-gpu 4.22 download libtensorflow 2.9.1, which is years old, and the download
 * fails on many machines. Here their addon is compiled against the TensorFlow wheel of PyPI instead, which needs only
 * npm and PyPI. The result is cached outside the work tree and linked into node_modules.
 */

const require = createRequire(import.meta.url);
const tensorflowVersion = '2.21.0';
export type NativePackage = '@tensorflow/tfjs-node' | '@tensorflow/tfjs-node-gpu';

/** The wheel with libtensorflow. The GPU wheel lists its CUDA libraries in its extra `and-cuda`. */
const wheels: Record<NativePackage, { name: string; size: string }> = {
  '@tensorflow/tfjs-node': { name: 'tensorflow-cpu', size: '300 MB' },
  '@tensorflow/tfjs-node-gpu': { name: 'tensorflow', size: '600 MB, and 2.5 GB of CUDA libraries' },
};

/** The backend cannot be built here; the message says what is missing and how to get it. */
export class NativeSetupError extends Error {
  override name = 'NativeSetupError';
}

/** The folder for slow builds, shared by all checkouts of this user. */
export function cacheFolder(): string {
  const configured = process.env['PLUMBLINE_CACHE'];
  return configured ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'plumbline');
}

/** The folder of an npm package, or undefined when it is not installed. */
export function packageFolder(name: string): string | undefined {
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}

const addonPath = (folder: string): string => join(folder, 'lib', 'napi-v8', 'tfjs_binding.node');

/** Whether this machine runs a driver for an NVIDIA GPU. */
export const hasNvidiaDriver = (): boolean => existsSync('/proc/driver/nvidia/version');

/** Whether the compiled addon of this package is in place. */
export function nativeIsSetUp(name: NativePackage): boolean {
  const folder = packageFolder(name);
  return folder !== undefined && existsSync(addonPath(folder));
}

/**
 * Builds the native backend, or takes it from the cache, and links it into node_modules. Does nothing when that is done
 * already. Two processes may run it at once: each builds in its own folder, and the first to finish wins.
 * @param progress receives short messages
 * @throws NativeSetupError
 */
export async function setUpNative(name: NativePackage, progress: (message: string) => void): Promise<void> {
  if (nativeIsSetUp(name)) return;
  const folder = packageFolder(name);
  if (!folder) throw new NativeSetupError(`${name} is not installed. Run npm ci without --omit=optional.`);
  if (process.platform !== 'linux')
    throw new NativeSetupError(
      `The native backend is built on Linux only; on ${process.platform} WebGPU or WASM is used.`,
    );
  const version = (require(`${name}/package.json`) as { version: string }).version;
  const key = `${name.split('/')[1]}-${version}-tensorflow-${tensorflowVersion}-${process.platform}-${process.arch}`;
  const cached = join(cacheFolder(), 'native', key);
  if (!existsSync(addonPath(cached))) await build(name, folder, cached, progress);
  for (const part of ['deps', 'lib']) {
    const link = join(folder, part);
    await rm(link, { recursive: true, force: true });
    await symlink(join(cached, part), link, 'dir').catch((error: NodeJS.ErrnoException) => {
      // Another process may have linked it meanwhile; any other error counts.
      if (error.code !== 'EEXIST' || realpathSync(link) !== realpathSync(join(cached, part))) throw error;
    });
  }
}

async function build(
  name: NativePackage,
  source: string,
  cached: string,
  progress: (message: string) => void,
): Promise<void> {
  const headers = packageFolder('node-api-headers');
  if (!headers) throw new NativeSetupError('node-api-headers is not installed. Run npm ci without --omit=optional.');
  await need('python3', ['-m', 'pip', '--version'], 'python3 with pip (Debian: apt-get install python3-pip)');
  await need('g++', ['--version'], 'a C++ compiler (Debian: apt-get install g++)');
  await mkdir(dirname(cached), { recursive: true });
  const work = await mkdtemp(`${cached}.building-`);
  try {
    progress(`Downloading TensorFlow ${tensorflowVersion} from PyPI (about ${wheels[name].size})`);
    const wheelFolder = join(work, 'wheel');
    const download = (requirements: string[]): Promise<void> =>
      pipDownload(requirements, wheelFolder, { cwd: work }).catch(asSetupError);
    await download([`${wheels[name].name}==${tensorflowVersion}`]);
    if (name === '@tensorflow/tfjs-node-gpu')
      await download((await run('python3', ['-c', cudaScript, wheelFolder])).trim().split('\n'));
    progress('Unpacking its libraries and headers');
    await run('python3', ['-c', unpackScript, wheelFolder, join(work, 'deps')], work);
    await rm(wheelFolder, { recursive: true });
    const libraries = join(work, 'deps', 'lib');
    await symlink('libtensorflow_cc.so.2', join(libraries, 'libtensorflow.so'));
    await symlink('libtensorflow_framework.so.2', join(libraries, 'libtensorflow_framework.so'));
    progress('Compiling the addon');
    await cp(join(source, 'binding'), join(work, 'binding'), { recursive: true });
    await mkdir(dirname(addonPath(work)), { recursive: true });
    const sources = (await readdir(join(work, 'binding'))).filter((file) => file.endsWith('.cc'));
    await run(
      'g++',
      [
        ...[
          '-shared',
          '-fPIC',
          '-O2',
          '-std=c++17',
          '-DNODE_GYP_MODULE_NAME=tfjs_binding',
          '-DBUILDING_NODE_EXTENSION',
        ],
        ...[`-I${join(headers, 'include')}`, `-I${join(work, 'deps', 'include')}`],
        ...sources.map((file) => join(work, 'binding', file)),
        ...['-o', addonPath(work), `-L${libraries}`, '-ltensorflow', '-ltensorflow_framework'],
        '-Wl,-rpath,$ORIGIN/../../deps/lib',
      ],
      work,
    );
    await rename(work, cached).catch((error: NodeJS.ErrnoException) => {
      // Another process finished first: its build is as good.
      if (!existsSync(addonPath(cached))) throw error;
    });
  } finally {
    if (existsSync(work) && lstatSync(work).isDirectory()) await rm(work, { recursive: true, force: true });
  }
}

/** The requirements of the wheel's extra `and-cuda`, one per line. */
const cudaScript = `
import email, glob, sys, zipfile
for path in glob.glob(sys.argv[1] + '/tensorflow-*.whl'):
    with zipfile.ZipFile(path) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith('.dist-info/METADATA'))
        for line in email.message_from_bytes(wheel.read(name)).get_all('Requires-Dist'):
            requirement, _, marker = line.partition(';')
            if 'and-cuda' in marker:
                print(requirement.strip())
`;

/**
 * Moves libtensorflow and the headers of its C API from the wheel's tree into lib/ and include/, and NVIDIA's libraries
 * into lib/ too, because libtensorflow looks for them beside itself.
 */
const unpackScript = `
import glob, os, shutil, sys, zipfile
wheels, out = sys.argv[1:]
headers = ('tensorflow/c/', 'tensorflow/core/platform/c', 'tsl/', 'xla/tsl/c')
for path in glob.glob(wheels + '/*.whl'):
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            inner = name.removeprefix('tensorflow/include/')
            if name.startswith('tensorflow/libtensorflow') or (name.startswith('nvidia/') and '/lib/lib' in name):
                target = os.path.join(out, 'lib', os.path.basename(name))
            elif inner != name and inner.startswith(headers) and not name.endswith('/'):
                target = os.path.join(out, 'include', inner)
            else:
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with wheel.open(name) as source, open(target, 'wb') as file:
                shutil.copyfileobj(source, file, 1 << 24)
`;

async function need(command: string, args: string[], what: string): Promise<void> {
  await run(command, args).catch((error: unknown) => {
    throw new NativeSetupError(`The native backend needs ${what}.`, { cause: error });
  });
}

const run = (command: string, args: string[], cwd?: string): Promise<string> =>
  runToEnd(command, args, cwd === undefined ? {} : { cwd }).catch(asSetupError);

function asSetupError(error: unknown): never {
  if (error instanceof ProgramError) throw new NativeSetupError(error.message, { cause: error });
  throw error;
}
