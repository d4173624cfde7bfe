import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** File by which other programs on this machine find the hub of a data folder. A crashed hub leaves it behind. */
const addressFile = (dataDir: string): string => join(dataDir, 'hub.json');

export function writeHubAddress(dataDir: string, url: string): void {
  writeFileSync(addressFile(dataDir), JSON.stringify({ url, processId: process.pid }));
}

export function removeHubAddress(dataDir: string): void {
  rmSync(addressFile(dataDir), { force: true });
}

/** e.g. `http://127.0.0.1:4517`; `null` when no hub runs there, or the one that left this file is dead */
export function hubUrl(dataDir: string): string | null {
  if (!existsSync(addressFile(dataDir))) return null;
  const { url, processId } = JSON.parse(readFileSync(addressFile(dataDir), 'utf8')) as {
    url: string;
    processId: number;
  };
  return isAlive(processId) ? url : null;
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
