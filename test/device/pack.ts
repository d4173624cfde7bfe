import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFileTrace } from '@vercel/nft';

/*
 * Packs everything for test/device/check.sh into one file, for a Linux machine with the same processor type, a GPU and
 * PyTorch but no Node: this Node, Dawn, the trainer and its fixtures. Usage: npm run -s device:pack [-- FILE]
 */

const root = fileURLToPath(new URL('../../..', import.meta.url));
const out = process.argv[2] ?? join(root, '.device', 'plumbline-device.tar.xz');
/** Small enough to copy over a slow connection. */
const maxMegabytes = 60;

const entries = ['test/dist/device/golden.js', 'test/dist/device/families.js', 'test/dist/support/train-briefly.js'];
const benches = ['test/dist/bench/train.js', 'test/dist/bench/train-worker.js'];
const { fileList } = await nodeFileTrace([...entries, ...benches], { base: root });
const platform = `${process.platform}-${process.arch}`;
const isElsewhere = (path: string): boolean =>
  /^node_modules\/webgpu\/dist\//.test(path) && !path.includes(`/${platform}/`);
const assets = [
  ...['server/package.json', 'shared/package.json', 'server/trainer/base', 'server/trainer/models/built-in/fixtures'],
  'server/trainer/models/fixtures',
  ...['server/trainer/data', 'node_modules/@tensorflow/tfjs-backend-wasm/dist'],
  ...['test/bench/train-twin.py', 'test/device/check.sh'],
];

const folder = mkdtempSync(join(tmpdir(), 'plumbline-device-'));
try {
  for (const path of [...[...fileList].filter((path) => !isElsewhere(path)), ...assets])
    cpSync(join(root, path), join(folder, path), { recursive: true, verbatimSymlinks: true });
  cpSync(process.execPath, join(folder, 'node'));
  execFileSync('strip', [join(folder, 'node')]);
  mkdirSync(dirname(out), { recursive: true });
  execFileSync('tar', ['-C', folder, '-cJf', out, '.'], { env: { ...process.env, XZ_OPT: '-6 -T0' } });
} finally {
  rmSync(folder, { recursive: true });
}
const megabytes = statSync(out).size / 1e6;
console.log(JSON.stringify({ file: out, megabytes: Number(megabytes.toFixed(1)) }));
if (megabytes > maxMegabytes) throw new Error(`${out} has more than ${maxMegabytes} MB; leave something out.`);
