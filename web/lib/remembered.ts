/** What this browser keeps of how somebody likes to look at things. */
const nameOf = (setting: string): string => `plumbline-${setting}`;

/** A setting as it was last remembered; null where it never was, or where storage is closed to this page. */
export function remembered(setting: string): string | null {
  try {
    return localStorage.getItem(nameOf(setting));
  } catch {
    return null;
  }
}

/** Keeps a setting in this browser. Where storage is closed to this page, the choice lasts until it is left. */
export function remember(setting: string, value: string): void {
  try {
    localStorage.setItem(nameOf(setting), value);
  } catch {
    // Said above: nothing else is lost.
  }
}
