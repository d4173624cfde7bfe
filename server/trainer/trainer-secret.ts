import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from './whole-file.js';

/**
 * The secret that proves that a run belongs to its trainer (see Attach). It is kept in the run's folder, so that
 * another process that continues the run has it.
 * @param folder the run's folder
 * @param given the secret that the hub started this trainer with, if any
 */
export async function trainerSecret(folder: string, given?: string): Promise<string> {
  const path = join(folder, 'trainer-secret');
  if (existsSync(path)) return readFileSync(path, 'utf8').trim();
  const secret = given ?? randomBytes(24).toString('base64url');
  mkdirSync(folder, { recursive: true });
  await writeWhole(path, secret, 0o600);
  return secret;
}
