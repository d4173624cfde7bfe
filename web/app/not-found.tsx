import Link from 'next/link';

export default function NotFound(): React.ReactNode {
  return (
    <main className="blank">
      <h2>There is no such page</h2>
      <p>Runs have addresses like /runs/?run=…; the list has them all.</p>
      <Link href="/" className="button">
        All runs
      </Link>
    </main>
  );
}
