'use client';

/** Light or dark; remembered in this browser. The layout's script applies it before the first paint. */
export function ThemeToggle(): React.ReactNode {
  const toggle = (): void => {
    const root = document.documentElement;
    const theme = root.dataset['theme'] === 'dark' ? 'light' : 'dark';
    root.dataset['theme'] = theme;
    try {
      localStorage.setItem('plumbline-theme', theme);
    } catch {
      // Storage may be closed to this page; the choice then lasts until it is left.
    }
  };
  return (
    <button
      type="button"
      className="icon-button"
      onClick={toggle}
      aria-label="Switch between light and dark"
      data-testid="theme-toggle"
    >
      <svg viewBox="0 0 16 16" aria-hidden>
        <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.4" />
        <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
      </svg>
    </button>
  );
}
