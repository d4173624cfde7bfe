import { mkdtempSync, rmSync } from 'node:fs';
import type * as Files from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { loadCheckpoint, saveCheckpoint, type Checkpoint } from './checkpoint.js';

/** The number of disk changes before the process is killed. */
const life = vi.hoisted(() => ({ left: Infinity }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof Files>();
  const dies = (): boolean => --life.left < 0;
  const dead = (): never => {
    throw new Error('killed');
  };
  const changing =
    <A extends unknown[], R>(change: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> =>
      dies() ? dead() : change(...args);
  return {
    ...real,
    mkdir: changing(real.mkdir),
    rename: changing(real.rename),
    /** An interrupted removal has removed a part. */
    rm: async (path: string, options: object) => {
      if (!dies()) return real.rm(path, options);
      if (life.left === -1) await real.rm(join(path, 'model.safetensors'), { force: true });
      return dead();
    },
    open: async (path: string, flags: string): Promise<FileHandle> => {
      const file = await real.open(path, flags);
      if (flags === 'r') return file;
      const whole = file.writeFile.bind(file);
      file.writeFile = async (content) => {
        if (!dies()) return whole(content);
        if (life.left === -1) await whole((content as Buffer).subarray(0, content.length / 2));
        return dead();
      };
      return file;
    },
  };
});

const checkpointAt = (step: number): Checkpoint => ({
  weights: new Map([['w', { shape: [3], data: Float32Array.of(step, 2, 3) }]]),
  optimizer: { steps: {}, tensors: new Map() },
  position: { step, dataRng: [1, 2, 3, 4], learningRate: 0.001, selection: { kind: 'recipe', recipe: 'full' } },
  method: { kind: 'fine_tuning' },
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-checkpoint-kill-'));
});
afterEach(() => {
  life.left = Infinity;
  rmSync(folder, { recursive: true });
});

it('leaves one whole checkpoint, at whatever moment of a replacement the process is killed', async () => {
  const stepsAfter: number[] = [];
  for (let changes = 0; ; changes++) {
    const path = join(folder, `at-${changes}`, 'step-000007');
    await saveCheckpoint(path, checkpointAt(1));
    life.left = changes;
    const killed = await saveCheckpoint(path, checkpointAt(2)).then(
      () => false,
      () => true,
    );
    life.left = Infinity;
    const { position, weights } = await loadCheckpoint(path);
    expect(weights.get('w')!.data[0], `after ${changes} changes`).toBe(position.step);
    stepsAfter.push(position.step);
    // The next process saves there again, and nothing else is left.
    await saveCheckpoint(path, checkpointAt(3));
    expect((await loadCheckpoint(path)).position.step).toBe(3);
    if (!killed) break;
  }
  // Each moment occurred, and the new checkpoint is in place once it has its name.
  expect(stepsAfter.length).toBeGreaterThan(8);
  expect(stepsAfter[0]).toBe(1);
  expect(stepsAfter.at(-1)).toBe(2);
  expect(stepsAfter).toEqual([...stepsAfter].sort((a, b) => a - b));
});
