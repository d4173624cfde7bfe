/** Display preferences that this browser keeps. */
const nameOf = (setting: string): string => `plumbline-${setting}`;

/** Reads a setting; null if it was never stored or this page may not use storage. */
export function remembered(setting: string): string | null {
  try {
    return localStorage.getItem(nameOf(setting));
  } catch {
    return null;
  }
}

/** Stores a setting in this browser. If this page may not use storage, the choice lasts until the page is left. */
export function remember(setting: string, value: string): void {
  try {
    localStorage.setItem(nameOf(setting), value);
  } catch {
    // Said above: nothing else is lost.
  }
}
