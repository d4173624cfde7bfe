import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const shortest = 32;

/**
 * The secret that trainers show: made at first use, kept in the data folder for its owner's eyes only.
 * @throws Error when the file holds no secret: an empty one would let everybody in
 */
export function trainerToken(dataDir: string): string {
  const path = join(dataDir, 'trainer-token');
  if (!existsSync(path)) {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    create(path);
  }
  const token = readFileSync(path, 'utf8').trim();
  if (token.length < shortest)
    throw new Error(`${path} holds no token of at least ${shortest} characters. Delete it; the hub makes a new one.`);
  return token;
}

/** What a program on the hub's machine shows it. @throws as `trainerToken` */
export function tokenHeader({ accessDir, dataDir }: { accessDir: string | null; dataDir: string }): {
  authorization: string;
} {
  return { authorization: `Bearer ${trainerToken(accessDir ?? dataDir)}` };
}

/**
 * Writes a token unless another hub on the same folder has just done so. The write is atomic: a full disk leaves no token
 * rather than a short one.
 */
function create(path: string): void {
  const written = `${path}.${randomUUID()}`;
  try {
    writeFileSync(written, randomBytes(32).toString('base64url'), { mode: 0o600 });
    linkSync(written, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(written, { force: true });
  }
}

/** Compares secrets in constant time. */
export function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
