import { Suspense } from 'react';
import { ComparePage } from '../../features/compare/ComparePage';

export default function Page(): React.ReactNode {
  // The runs are named in the query, which is known only in the browser.
  return (
    <Suspense>
      <ComparePage />
    </Suspense>
  );
}
