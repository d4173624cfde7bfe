import { hubUrl } from '../hub-address.js';

/** The address of the hub that runs on the data folder; null if none runs, also if one crashed and left its address. */
export async function runningHub(dataDir: string): Promise<string | null> {
  const url = hubUrl(dataDir);
  if (url === null) return null;
  return fetch(`${url}/healthz`).then(
    () => url,
    () => null,
  );
}
