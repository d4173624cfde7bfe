import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { assetPath } from '../asset.js';
import { pipDownload, ProgramError, runToEnd } from '../run-to-end.js';

/*
 * On installation, tfjs-node and tfjs-node-gpu 4.22 download libtensorflow 2.9.1, which is years old, and the download
 * fails on many machines. Here their addon is compiled against the TensorFlow wheel of PyPI instead, which needs only
 * npm and PyPI. The addon gets functions of our own, which build TensorFlow functions. TensorFlow and the addon are
 * cached outside the work tree and linked into node_modules.
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

/** The source that is compiled into the addon, and the lines that tfjs-node's own sources need for it. */
const graphFunctions = assetPath('runtime/native/graph_functions.cc');
const additions = [
  {
    file: 'tfjs_backend.h',
    before: ' private:\n',
    insert: '  TFE_Context *context() const { return tfe_context_; }\n\n',
  },
  {
    file: 'tfjs_binding.cc',
    before: 'static inline TFJSBackend *GetTFJSBackend',
    insert: 'void DefineGraphFunctions(napi_env env, napi_value exports);\n',
  },
  {
    file: 'tfjs_binding.cc',
    before: '  // Export TF property types',
    insert: '  DefineGraphFunctions(env, exports);\n\n',
  },
];

/** The cached folders of TensorFlow's libraries and headers, and of the addon compiled against them. */
function cachedFolders(name: NativePackage): { tensorflow: string; addon: string } {
  const { version } = require(`${name}/package.json`) as { version: string };
  const digest = createHash('sha256')
    .update(readFileSync(graphFunctions))
    .update(JSON.stringify(additions))
    .digest('hex')
    .slice(0, 12);
  const platform = `${process.platform}-${process.arch}`;
  const native = join(cacheFolder(), 'native');
  const tensorflow = `${wheels[name].name}-${tensorflowVersion}-${platform}`;
  return {
    tensorflow: join(native, tensorflow),
    addon: join(native, `${name.split('/')[1]}-${version}-${digest}-${tensorflow}`),
  };
}

/** Whether this machine runs a driver for an NVIDIA GPU. */
export const hasNvidiaDriver = (): boolean => existsSync('/proc/driver/nvidia/version');

/** Whether the compiled addon of this package is in place, as this version of the trainer needs it. */
export function nativeIsSetUp(name: NativePackage): boolean {
  const folder = packageFolder(name);
  if (folder === undefined || !existsSync(addonPath(folder))) return false;
  const { addon } = cachedFolders(name);
  return existsSync(addonPath(addon)) && realpathSync(addonPath(folder)) === realpathSync(addonPath(addon));
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
  const { tensorflow, addon } = cachedFolders(name);
  if (!existsSync(tensorflow)) await inNewFolder(tensorflow, (work) => fetchTensorflow(name, work, progress));
  if (!existsSync(addonPath(addon))) {
    progress('Compiling the addon');
    await inNewFolder(addon, (work) => compileAddon(name, folder, tensorflow, work));
  }
  for (const part of ['deps', 'lib']) {
    const link = join(folder, part);
    await rm(link, { recursive: true, force: true });
    await symlink(join(addon, part), link, 'dir').catch((error: NodeJS.ErrnoException) => {
      // Another process may have linked it meanwhile; any other error counts.
      if (error.code !== 'EEXIST' || realpathSync(link) !== realpathSync(join(addon, part))) throw error;
    });
  }
}

/** Fills a folder beside `cached` and renames it to `cached` when it is complete. */
async function inNewFolder(cached: string, fill: (work: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(cached), { recursive: true });
  const work = await mkdtemp(`${cached}.building-`);
  try {
    await fill(work);
    await rename(work, cached).catch((error: unknown) => {
      // Another process finished first: its folder is as good.
      if (!existsSync(cached)) throw error;
    });
  } finally {
    if (existsSync(work) && lstatSync(work).isDirectory()) await rm(work, { recursive: true, force: true });
  }
}

/** Downloads TensorFlow and puts its libraries into lib/ and its headers into include/. */
async function fetchTensorflow(name: NativePackage, work: string, progress: (message: string) => void): Promise<void> {
  await need('python3', ['-m', 'pip', '--version'], 'python3 with pip (Debian: apt-get install python3-pip)');
  progress(`Downloading TensorFlow ${tensorflowVersion} from PyPI (about ${wheels[name].size})`);
  const wheelFolder = join(work, 'wheel');
  const download = (requirements: string[]): Promise<void> =>
    pipDownload(requirements, wheelFolder, { cwd: work }).catch(asSetupError);
  await download([`${wheels[name].name}==${tensorflowVersion}`]);
  if (name === '@tensorflow/tfjs-node-gpu')
    await download((await run('python3', ['-c', cudaScript, wheelFolder])).trim().split('\n'));
  progress('Unpacking its libraries and headers');
  await run('python3', ['-c', unpackScript, wheelFolder, work], work);
  await rm(wheelFolder, { recursive: true });
  await symlink('libtensorflow_cc.so.2', join(work, 'lib', 'libtensorflow.so'));
  await symlink('libtensorflow_framework.so.2', join(work, 'lib', 'libtensorflow_framework.so'));
}

/** Compiles tfjs-node's addon with our functions into lib/, and links TensorFlow as deps/. */
async function compileAddon(name: NativePackage, source: string, tensorflow: string, work: string): Promise<void> {
  const headers = packageFolder('node-api-headers');
  if (!headers) throw new NativeSetupError('node-api-headers is not installed. Run npm ci without --omit=optional.');
  await need('g++', ['--version'], 'a C++ compiler (Debian: apt-get install g++)');
  const binding = join(work, 'binding');
  await cp(join(source, 'binding'), binding, { recursive: true });
  await cp(graphFunctions, join(binding, basename(graphFunctions)));
  for (const { file, before, insert } of additions) {
    const path = join(binding, file);
    const text = await readFile(path, 'utf8');
    if (!text.includes(before))
      throw new NativeSetupError(`The file ${file} of ${name} has no line "${before.trim()}".`);
    await writeFile(path, text.replace(before, `${insert}${before}`));
  }
  await symlink(tensorflow, join(work, 'deps'), 'dir');
  await mkdir(dirname(addonPath(work)), { recursive: true });
  const sources = (await readdir(binding)).filter((file) => file.endsWith('.cc'));
  await run(
    'g++',
    [
      ...['-shared', '-fPIC', '-O2', '-std=c++17', '-DNODE_GYP_MODULE_NAME=tfjs_binding', '-DBUILDING_NODE_EXTENSION'],
      ...[`-I${join(headers, 'include')}`, `-I${join(tensorflow, 'include')}`],
      ...sources.map((file) => join(binding, file)),
      ...['-o', addonPath(work), `-L${join(tensorflow, 'lib')}`, '-ltensorflow', '-ltensorflow_framework'],
      '-Wl,-rpath,$ORIGIN/../../deps/lib',
    ],
    work,
  );
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
