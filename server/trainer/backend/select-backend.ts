import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
// All of tfjs, not only its core: it registers the gradients of all operations.
import '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs-core';
import { hasNvidiaDriver, nativeIsSetUp, packageFolder, type NativePackage } from './native-setup.js';

const require = createRequire(import.meta.url);

export const backendNames = ['tensorflow-gpu', 'webgpu', 'tensorflow', 'wasm'] as const;
export type BackendName = (typeof backendNames)[number];

/** Whether a backend can be used here, why not, and how to get it. */
export interface BackendCandidate {
  name: BackendName;
  usable: boolean;
  device: string;
  reason: string;
  remedy: string;
}
export interface BackendReport {
  name: BackendName;
  device: string;
  /** All candidates that were tried, best first, up to and including the chosen one. */
  considered: BackendCandidate[];
}
export interface BackendOptions {
  /** `auto` takes the best usable one. */
  prefer?: BackendName | 'auto';
  /** Lets WebGPU run on a CPU rasteriser: correct but slow, so never chosen by default. */
  allowSoftwareGpu?: boolean;
}

/** No requested backend works; the message says why and how to get one. */
export class BackendError extends Error {
  override name = 'BackendError';
}

/**
 * Starts the best usable backend and makes it tfjs's current one.
 * @throws BackendError when the preferred one cannot be used
 */
export async function selectBackend({
  prefer = 'auto',
  allowSoftwareGpu = false,
}: BackendOptions = {}): Promise<BackendReport> {
  const considered: BackendCandidate[] = [];
  for (const name of prefer === 'auto' ? backendNames : [prefer]) {
    const candidate = await starters[name](allowSoftwareGpu).catch((error: unknown): BackendCandidate => {
      const reason = `it did not start: ${error instanceof Error ? error.message.split('\n')[0]! : String(error)}`;
      return { name, usable: false, device: '', reason, remedy: '' };
    });
    considered.push(candidate);
    if (candidate.usable) return { name, device: candidate.device, considered };
  }
  const why = considered.map(({ name, reason, remedy }) => `${name}: ${reason} ${remedy}`.trim()).join('\n');
  throw new BackendError(`No usable backend.\n${why}`);
}

const starters: Record<BackendName, (allowSoftwareGpu: boolean) => Promise<BackendCandidate>> = {
  'tensorflow-gpu': startTensorflowGpu,
  webgpu: startWebGpu,
  tensorflow: startTensorflowCpu,
  wasm: startWasm,
};

async function startTensorflowGpu(): Promise<BackendCandidate> {
  const packageName = '@tensorflow/tfjs-node-gpu';
  const refuse = (reason: string, remedy: string): BackendCandidate => ({
    ...{ name: 'tensorflow-gpu', usable: false, device: '', reason, remedy },
  });
  // Checked first: loading CUDA on a machine without it takes seconds and fills the log.
  if (!hasNvidiaDriver()) return refuse('no driver for an NVIDIA GPU runs here.', 'It needs an NVIDIA GPU on Linux.');
  if (!nativeIsSetUp(packageName)) return refuse(whyNotSetUp(packageName), 'npm run plumbline -- setup --gpu');
  const { version, isUsingGpuDevice } = await loadTensorflow(packageName);
  if (!isUsingGpuDevice) return refuse('TensorFlow sees no GPU.', 'Compare nvidia-smi with what CUDA 12 asks for.');
  return { name: 'tensorflow-gpu', usable: true, device: `GPU, TensorFlow ${version}`, reason: '', remedy: '' };
}

async function startTensorflowCpu(): Promise<BackendCandidate> {
  // The GPU's addon runs on the CPU too, and two addons cannot share a process.
  const gpuAddon = tf.findBackendFactory('tensorflow') !== null || !nativeIsSetUp('@tensorflow/tfjs-node');
  const packageName =
    gpuAddon && nativeIsSetUp('@tensorflow/tfjs-node-gpu') ? '@tensorflow/tfjs-node-gpu' : '@tensorflow/tfjs-node';
  if (!nativeIsSetUp(packageName)) {
    const remedy = 'npm run plumbline -- setup (needs python3 with pip and g++)';
    return { name: 'tensorflow', usable: false, device: '', reason: whyNotSetUp(packageName), remedy };
  }
  const { version } = await loadTensorflow(packageName);
  const device = `${availableParallelism()} CPU cores, TensorFlow ${version}`;
  return { name: 'tensorflow', usable: true, device, reason: '', remedy: '' };
}

const whyNotSetUp = (name: NativePackage): string =>
  packageFolder(name) ? 'its native addon is not built.' : `${name} is not installed.`;

async function loadTensorflow(name: NativePackage): Promise<{ version: string; isUsingGpuDevice: boolean }> {
  // tfjs-node 4.22 uses four functions of node:util that Node 23 removed.
  const util = require('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  util['isArray'] ??= Array.isArray;
  util['isString'] ??= (value: unknown) => typeof value === 'string';
  util['isNumber'] ??= (value: unknown) => typeof value === 'number';
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  // Threads within a kernel: a graph already runs kernels in parallel, and kernels of this size lose more from sharing
  // work than they gain. On two cores a training step takes 31 ms with one thread and 34 ms with two (bench:train).
  process.env['TF_NUM_INTRAOP_THREADS'] ??= String(Math.max(1, Math.floor(availableParallelism() / 2)));
  require(name);
  if (!(await tf.setBackend('tensorflow'))) throw new Error('tfjs could not start it');
  await tf.ready();
  const { isUsingGpuDevice = false, binding } = tf.backend() as unknown as {
    isUsingGpuDevice?: boolean;
    binding: { TF_Version: string };
  };
  return { version: binding.TF_Version, isUsingGpuDevice };
}

async function startWebGpu(allowSoftwareGpu: boolean): Promise<BackendCandidate> {
  const refuse = (reason: string, remedy: string): BackendCandidate => ({
    name: 'webgpu',
    usable: false,
    device: '',
    reason,
    remedy,
  });
  if (!packageFolder('webgpu')) return refuse('the package webgpu is not installed.', 'npm ci without --omit=optional');
  if (!allowSoftwareGpu && !hasGpuDevice())
    return refuse('this machine shows no GPU.', "Where there is one, its driver's device files are missing.");
  const { create, globals } = (await import('webgpu')) as unknown as {
    create(options: string[]): GPU;
    globals: Record<string, unknown>;
  };
  Object.assign(globalThis, globals);
  // Without it, as outside of a desktop session, drivers complain on standard error.
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
  const gpu = create([]);
  // tfjs asks `navigator.gpu` for its device; Node 20 has no navigator, and later versions have one without gpu.
  const holder = globalThis as { navigator?: { gpu?: GPU } };
  if (!holder.navigator) holder.navigator = {};
  Object.defineProperty(holder.navigator, 'gpu', { value: gpu, configurable: true });
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    return refuse('no GPU driver with Vulkan, Metal or Direct3D 12 was found.', "Install the GPU's driver.");
  const { description, device, vendor, architecture } = adapter.info;
  const label = [description, device, vendor, architecture].find((word) => word) ?? 'GPU';
  const software = /llvmpipe|swiftshader|lavapipe|software|\bcpu\b/i.test(
    `${description} ${device} ${vendor} ${architecture}`,
  );
  if (software && !allowSoftwareGpu)
    return refuse(`the only adapter, ${label}, is a CPU rasteriser and slower than WASM.`, "Install a GPU's driver.");
  await import('@tensorflow/tfjs-backend-webgpu');
  if (!(await tf.setBackend('webgpu'))) return refuse('tfjs could not start it.', '');
  await tf.ready();
  return { name: 'webgpu', usable: true, device: label, reason: '', remedy: '' };
}

/** On Linux a GPU with a driver has a device file. Asking Vulkan instead fills the log with warnings. */
function hasGpuDevice(): boolean {
  if (process.platform !== 'linux') return true;
  if (['/dev/nvidia0', '/dev/dxg'].some((path) => existsSync(path))) return true;
  return existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD'));
}

async function startWasm(): Promise<BackendCandidate> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  await import('./wasm-kernels.js');
  setWasmPaths(`${packageFolder('@tensorflow/tfjs-backend-wasm')!}/dist/`);
  if (!(await tf.setBackend('wasm'))) throw new Error('tfjs could not start it');
  await tf.ready();
  // tfjs uses several threads only in browsers.
  return { name: 'wasm', usable: true, device: '1 CPU thread, WebAssembly', reason: '', remedy: '' };
}
