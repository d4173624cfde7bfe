import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from './whole-file.js';

/**
 * The secret that a run belongs to its trainer by (see Attach). It is kept in the run's folder, so that another process
 * that goes on with the run has it.
 * @param folder the run's own
 * @param given what the hub made it with, where it did
 */
export async function trainerSecret(folder: string, given?: string): Promise<string> {
  const path = join(folder, 'trainer-secret');
  if (existsSync(path)) return readFileSync(path, 'utf8').trim();
  const secret = given ?? randomBytes(24).toString('base64url');
  mkdirSync(folder, { recursive: true });
  await writeWhole(path, secret, 0o600);
  return secret;
}
