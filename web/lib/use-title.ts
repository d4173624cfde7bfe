import { useEffect } from 'react';

/** Titles the page: what it is about first, because browsers cut off the end. */
export function useTitle(about: string): void {
  useEffect(() => {
    document.title = `${about} · Plumbline`;
  }, [about]);
}
