import { RunsPage } from '../features/runs/RunsPage';

export default function Page(): React.ReactNode {
  return <RunsPage />;
}
