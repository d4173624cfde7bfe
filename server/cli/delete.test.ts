import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { expect, it, onTestFinished } from 'vitest';
import { addDeleteCommand } from './delete.js';
import { writeHubAddress } from '../hub-address.js';

it('says why the hub did not delete, also when the hub is gone right after', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'plumbline-delete-'));
  const run = { runId: 'kept', description: { name: 'kept' }, parent: null, state: 'finished', lastSeq: 4 };
  const refusal = { error: { code: 'draining', message: 'This hub is being stopped.' } };
  // A hub that is stopping: its last answer is this refusal.
  const hub = createServer(({ method, url }, response) => {
    const isDeletion = method === 'DELETE' && url === '/api/runs/kept';
    response.writeHead(isDeletion ? 503 : 200, { connection: 'close', 'set-cookie': 'session=1' });
    response.end(JSON.stringify(isDeletion ? refusal : { runs: [run] }));
    if (isDeletion) hub.close();
  });
  onTestFinished(() => {
    hub.close();
    rmSync(dataDir, { recursive: true });
  });
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
  writeHubAddress(dataDir, `http://127.0.0.1:${(hub.address() as AddressInfo).port}`);
  const program = new Command();
  addDeleteCommand(program, () => undefined);
  const given = ['delete', 'kept', '--yes', '--data-dir', dataDir];
  await expect(program.parseAsync(given, { from: 'user' })).rejects.toThrow(refusal.error.message);
});
