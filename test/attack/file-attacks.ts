import { createHash } from 'node:crypto';
import { cp, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { firstOf, short, type Attack } from './attack.js';
import { fillBigRun } from './big-run.js';
import { badRefusal, plumbline } from './command-line.js';

/* Untrusted files: backups and exports. None of them needs the hub, which must survive them too. */

/** An attack with its own folder. */
export const inFolder = (name: string, run: (folder: string) => Promise<string | null>): Attack => ({
  name: `files: ${name}`,
  run: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'plumbline-attack-files-'));
    try {
      return await run(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
});

interface BackupFile {
  path: string;
  bytes: number;
  sha256: string;
}
/** A backup of a real store with additional files. */
async function craftedBackup(folder: string, extra: Record<string, string>): Promise<string> {
  const [dataDir, backup] = [join(folder, 'data'), join(folder, 'backup')];
  await fillBigRun(dataDir, 5, 'backed-up');
  const made = await plumbline('backup', backup, '--data-dir', dataDir);
  if (made.code !== 0) throw new Error(`No backup was made: ${made.output}`);
  const manifest = JSON.parse(await readFile(join(backup, 'backup.json'), 'utf8')) as { files: BackupFile[] };
  for (const [path, content] of Object.entries(extra)) {
    await mkdir(dirname(join(backup, path)), { recursive: true });
    await writeFile(join(backup, path), content);
    manifest.files.push({ path, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') });
  }
  await writeFile(join(backup, 'backup.json'), JSON.stringify(manifest));
  return backup;
}

export const fileAttacks: Attack[] = [
  inFolder('a backup with sessions and a trainer token in it', async (folder) => {
    const backup = await craftedBackup(folder, {
      'trainer-token': 'a'.repeat(43),
      'sessions/ab': '',
      'links/cd': '',
      'hub.json': '{}',
    });
    const restored = join(folder, 'restored');
    const end = await plumbline('restore', backup, '--data-dir', restored);
    const there = await readdir(restored).catch(() => []);
    const taken = there.filter((name) => !['plumbline.duckdb', 'runs'].includes(name));
    return firstOf(
      taken.length > 0 && `restore accepted ${taken.join(', ')} from it`,
      end.code !== 0 && badRefusal(end),
    );
  }),
  inFolder('a backup that writes outside the folder', async (folder) => {
    for (const path of [
      '../outside',
      'runs/../../outside',
      '/tmp/plumbline-outside',
      'runs\\..\\..\\outside',
      '',
      '.',
      'runs//..//..//outside',
    ]) {
      const backup = await craftedBackup(join(folder, `b${Math.random()}`), {});
      const manifest = JSON.parse(await readFile(join(backup, 'backup.json'), 'utf8')) as { files: BackupFile[] };
      manifest.files.push({ path, bytes: 0, sha256: createHash('sha256').update('').digest('hex') });
      await writeFile(join(backup, 'backup.json'), JSON.stringify(manifest));
      const fault = badRefusal(await plumbline('restore', backup, '--data-dir', join(folder, 'restored')));
      if (fault) return `"${path}": ${fault}`;
    }
    return null;
  }),
  inFolder('a backup whose files are links to others', async (folder) => {
    const secret = join(folder, 'secret');
    await writeFile(secret, 'not for anybody');
    const backup = await craftedBackup(folder, { 'runs/r/trainer.log': 'not for anybody' });
    await rm(join(backup, 'runs/r/trainer.log'));
    await symlink(secret, join(backup, 'runs/r/trainer.log'));
    const restored = join(folder, 'restored');
    await plumbline('restore', backup, '--data-dir', restored);
    const found = await lstat(join(restored, 'runs/r/trainer.log')).catch(() => null);
    return found ? 'restore followed a link out of the backup' : null;
  }),
  inFolder('a backup whose list is no list', async (folder) => {
    const backup = await craftedBackup(folder, {});
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"format":"plumbline-backup-1","createdMs":1e999,"files":[]}',
      '['.repeat(100_000),
    ]) {
      await writeFile(join(backup, 'backup.json'), text);
      const fault = badRefusal(await plumbline('restore', backup, '--data-dir', join(folder, 'restored')));
      if (fault) return `${short(text, 40)}: ${fault}`;
    }
    return null;
  }),
  inFolder('exports that were cut short or edited', async (folder) => {
    const [dataDir, path] = [join(folder, 'data'), join(folder, 'run.jsonl')];
    await fillBigRun(dataDir, 40, 'exported');
    await plumbline('export', 'exported', '--out', path, '--data-dir', dataDir);
    const text = await readFile(path, 'utf8');
    const edits: Record<string, string | Buffer> = {
      'cut in the middle': text.slice(0, text.length / 2),
      'without its last line': text.slice(0, text.trimEnd().lastIndexOf('\n') + 1),
      'with one digit changed': text.replace(/"train\/loss":(-?\d)/, '"train/loss":9$1'),
      'with a line twice': text.replace(/(\n\{[^\n]*"seq":7,[^\n]*\n)/, '$1$1'),
      'with a byte that is not UTF-8': Buffer.concat([
        Buffer.from(text.replace('"name":"exported"', '"name":"exp')),
        Buffer.from([0xff, 0xfe]),
      ]),
      'of a later version': text.replace(/"version":\d+/, '"version":99'),
      'with 2^53 events': text.replace(/"events":\d+/, '"events":9007199254740993'),
      'that is empty': '',
      'that is one line of 70 MB': `${text.split('\n')[0]}\n"${'x'.repeat(70_000_000)}"`,
      'that is nested 100,000 deep': `${text.split('\n')[0]}\n${'['.repeat(100_000)}`,
    };
    for (const [what, content] of Object.entries(edits)) {
      if (content === text) return `${what}: the attack changes nothing in the export`;
      const edited = join(folder, 'edited.jsonl');
      await writeFile(edited, content);
      const fault = badRefusal(await plumbline('import', edited, '--data-dir', join(folder, 'other')));
      if (fault) return `${what}: ${fault}`;
    }
    return null;
  }),
  inFolder('exported tables that were edited', async (folder) => {
    const dataDir = join(folder, 'data');
    await fillBigRun(dataDir, 40, 'exported');
    await plumbline('export', 'exported', '--format', 'csv', '--out', join(folder, 'csv'), '--data-dir', dataDir);
    const edits: Record<string, (text: string) => string> = {
      'cut in the middle': (text) => text.slice(0, text.length / 2),
      'with a word for a number': (text) => text.replace(/\d+\n$/, 'lots\n'),
      'with a column too many': (text) => text.replace(/\n(1,[^\n]*)\n/, '\n$1,1\n'),
      'with a quote that does not end': (text) => text.replace('train/loss', '"train/loss'),
      'with a row less': (text) => text.replace(/\n30,[^\n]*/, ''),
      'that is empty': () => '',
    };
    for (const [what, edit] of Object.entries(edits)) {
      const edited = join(folder, `edited-${Math.random()}`);
      await cp(join(folder, 'csv'), edited, { recursive: true });
      await writeFile(join(edited, 'points.csv'), edit(await readFile(join(edited, 'points.csv'), 'utf8')));
      const fault = badRefusal(await plumbline('import', edited, '--data-dir', join(folder, 'other')));
      if (fault) return `${what}: ${fault}`;
    }
    return null;
  }),
];
