import { useEffect, useState, type RefObject } from 'react';

/** What is this near to the screen counts as in sight, so that it is there when it is scrolled to. */
const nearPixels = 200;

/** Whether an element is on the screen, or near it; false until the browser has said. */
export function useInSight(element: RefObject<Element | null>): boolean {
  const [isInSight, setIsInSight] = useState(false);
  useEffect(() => {
    const observed = element.current;
    if (!observed) return;
    const sight = new IntersectionObserver((entries) => setIsInSight(entries.at(-1)!.isIntersecting), {
      rootMargin: `${nearPixels}px`,
    });
    sight.observe(observed);
    return () => sight.disconnect();
  }, [element]);
  return isInSight;
}
