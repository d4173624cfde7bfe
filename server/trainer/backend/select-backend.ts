import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
// The whole of tfjs, not its core alone: it registers the gradients of all operations.
import '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs-core';
import { nativeIsSetUp, packageFolder, type NativePackage } from './native-setup.js';

const require = createRequire(import.meta.url);

export const backendNames = ['tensorflow-gpu', 'webgpu', 'tensorflow', 'wasm'] as const;
export type BackendName = (typeof backendNames)[number];

/** Whether a backend can be used here, why not, and what would bring it. */
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
  /** All that were looked at, best first, up to and including the chosen one. */
  considered: BackendCandidate[];
}
export interface BackendOptions {
  /** `auto` takes the best usable one. */
  prefer?: BackendName | 'auto';
  /** Let WebGPU run on a CPU rasteriser: right but slow, so never chosen by itself. */
  allowSoftwareGpu?: boolean;
}

/** No backend that was asked for works; the message says why and what would bring it. */
export class BackendError extends Error {
  override name = 'BackendError';
}

/**
 * Starts the best usable backend and makes it tfjs's current one. Once a process has chosen, asking again returns the
 * same answer.
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
  'tensorflow-gpu': () => startTensorflow('tensorflow-gpu', '@tensorflow/tfjs-node-gpu'),
  webgpu: startWebGpu,
  tensorflow: () => startTensorflow('tensorflow', '@tensorflow/tfjs-node'),
  wasm: startWasm,
};

async function startTensorflow(name: BackendName, packageName: NativePackage): Promise<BackendCandidate> {
  const gpu = name === 'tensorflow-gpu';
  if (!nativeIsSetUp(packageName)) {
    const reason = packageFolder(packageName) ? 'its native addon is not built.' : `${packageName} is not installed.`;
    const remedy = gpu
      ? 'On a machine with an NVIDIA GPU: npm run plumbline setup -- --gpu'
      : 'npm run plumbline setup (needs python3 with pip and g++)';
    return { name, usable: false, device: '', reason, remedy };
  }
  // tfjs-node 4.22 uses four functions of node:util that Node 23 took out.
  const util = require('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  util['isArray'] ??= Array.isArray;
  util['isString'] ??= (value: unknown) => typeof value === 'string';
  util['isNumber'] ??= (value: unknown) => typeof value === 'number';
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  // Kernels of this size lose more by handing work between threads than they gain: on two cores a training step takes
  // 104 ms with one thread and 116 ms with two (bench:train).
  process.env['TF_NUM_INTRAOP_THREADS'] ??= String(Math.max(1, Math.floor(availableParallelism() / 2)));
  require(packageName);
  await tf.setBackend('tensorflow');
  await tf.ready();
  const { isUsingGpuDevice = false, binding } = tf.backend() as unknown as {
    isUsingGpuDevice?: boolean;
    binding: { TF_Version: string };
  };
  if (gpu && !isUsingGpuDevice)
    return {
      name,
      usable: false,
      device: '',
      reason: 'TensorFlow sees no GPU.',
      remedy: 'Check nvidia-smi and the CUDA libraries.',
    };
  const device = `${gpu ? 'GPU' : `${availableParallelism()} CPU threads`}, TensorFlow ${binding.TF_Version}`;
  return { name, usable: true, device, reason: '', remedy: '' };
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
  const { create, globals } = (await import('webgpu')) as unknown as {
    create(options: string[]): GPU;
    globals: Record<string, unknown>;
  };
  Object.assign(globalThis, globals);
  // Drivers complain on standard error where no desktop session has set it.
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir();
  const gpu = create([]);
  // tfjs asks `navigator.gpu` for its device; Node 20 has no navigator, later ones have one without gpu.
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

async function startWasm(): Promise<BackendCandidate> {
  const { setWasmPaths, setThreadsCount } = await import('@tensorflow/tfjs-backend-wasm');
  setWasmPaths(`${packageFolder('@tensorflow/tfjs-backend-wasm')!}/dist/`);
  setThreadsCount(availableParallelism());
  await tf.setBackend('wasm');
  await tf.ready();
  return {
    name: 'wasm',
    usable: true,
    device: `${availableParallelism()} CPU threads, WebAssembly`,
    reason: '',
    remedy: '',
  };
}
