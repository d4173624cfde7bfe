import { useEffect, useState, type RefObject } from 'react';

/** Whether an element is on the screen; false until the browser reports it. */
export function useInSight(element: RefObject<Element | null>): boolean {
  const [isInSight, setIsInSight] = useState(false);
  useEffect(() => {
    const observed = element.current;
    if (!observed) return;
    const sight = new IntersectionObserver((entries) => setIsInSight(entries.at(-1)!.isIntersecting));
    sight.observe(observed);
    return () => sight.disconnect();
  }, [element]);
  return isInSight;
}
