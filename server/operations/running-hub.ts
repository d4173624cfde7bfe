import { hubUrl } from '../hub-address.js';

/** The address of the hub that has the data folder open; `null` when it left, or died and left its address behind. */
export async function runningHub(dataDir: string): Promise<string | null> {
  const url = hubUrl(dataDir);
  if (url === null) return null;
  return fetch(`${url}/healthz`).then(
    () => url,
    () => null,
  );
}
