'use client';
import { useEffect, useRef } from 'react';
import { remember, remembered } from '../lib/remembered';

/**
 * Switches between light and dark. Until the user chooses one, the page follows the system. This browser remembers the
 * choice, and the layout's script applies it before the first paint.
 */
export function ThemeToggle(): React.ReactNode {
  const isChosen = useRef(false);
  useEffect(() => {
    const system = matchMedia('(prefers-color-scheme: dark)');
    const follow = (): void => {
      if (!isChosen.current && remembered('theme') === null)
        document.documentElement.dataset['theme'] = system.matches ? 'dark' : 'light';
    };
    system.addEventListener('change', follow);
    return () => system.removeEventListener('change', follow);
  }, []);
  const toggle = (): void => {
    const root = document.documentElement;
    const theme = root.dataset['theme'] === 'dark' ? 'light' : 'dark';
    root.dataset['theme'] = theme;
    isChosen.current = true;
    remember('theme', theme);
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
