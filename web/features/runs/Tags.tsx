/** A run's tags; nothing if it has none. */
export function Tags({ tags }: { tags: readonly string[] }): React.ReactNode {
  if (tags.length === 0) return null;
  return (
    <span className="tags" data-testid="tags">
      {tags.map((tag) => (
        <span key={tag} className="tag">
          {tag}
        </span>
      ))}
    </span>
  );
}
