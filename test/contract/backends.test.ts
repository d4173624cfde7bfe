import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';

/*
 * All backends train the same model to the same numbers: loss and gradient norm of six steps, within 1e-3 relative.
 * (Single precision, other summation orders, and Adam's division by small roots; seen: below 1e-5 on CPUs.)
 * tensorflow-gpu needs a GPU with CUDA; it runs the code of `tensorflow` and is compared where there is one.
 * Without a GPU, WebGPU runs on a CPU rasteriser: SwiftShader, which Debian's chromium brings. (Dawn asks for more than
 * the llvmpipe of mesa 22 can do.)
 */
const swiftShader = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json'];
const tolerance = 1e-3;
const script = fileURLToPath(new URL('../dist/support/train-briefly.js', import.meta.url));

const driver = process.env['VK_DRIVER_FILES'] ?? swiftShader.find((path) => existsSync(path));
const environment = { ...process.env, ...(driver ? { VK_DRIVER_FILES: driver } : {}) };

async function trainOn(backend: string): Promise<{ device: string; losses: number[] }> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, backend], { env: environment }).catch(
    (error: Error & { stderr: string }) => {
      throw new Error(`${backend} could not train here:\n${error.stderr.trim().split('\n').slice(-12).join('\n')}`);
    },
  );
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as { device: string; losses: number[] };
}

describe('training backends', () => {
  let reference: number[];
  beforeAll(async () => {
    ({ losses: reference } = await trainOn('wasm'));
  });
  it('WASM learns', () => {
    expect(reference).toHaveLength(12);
    expect(reference.every(Number.isFinite)).toBe(true);
    expect(reference[8]!).toBeLessThan(reference[0]!);
  });
  it('doctor says which are usable, and nothing that TensorFlow says of itself', async () => {
    const doctor = [fileURLToPath(new URL('../../server/dist/cli.js', import.meta.url)), 'doctor'];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, doctor);
    expect(stdout).toMatch(/^Training backends, best first:\n[^]*\* tensorflow .*TensorFlow 2[^]*Base model: /);
    expect(stderr).toBe('');
  });
  it.each([
    ['tensorflow', /TensorFlow 2/],
    ['webgpu', /./],
  ])('%s gives the same losses and gradient norms', async (backend, device) => {
    const trained = await trainOn(backend);
    expect(trained.device).toMatch(device);
    expect(trained.losses).toHaveLength(reference.length);
    trained.losses.forEach((value, i) =>
      expect(Math.abs(value / reference[i]! - 1), `number ${i}`).toBeLessThan(tolerance),
    );
  });
});
