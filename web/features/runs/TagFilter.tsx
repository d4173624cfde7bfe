import type { RunSummary } from '@plumbline/shared/run';

/** The tags of runs, each once, in alphabetical order. */
export const tagsOf = (runs: readonly Pick<RunSummary, 'description'>[]): string[] =>
  [...new Set(runs.flatMap(({ description }) => description.tags))].sort((a, b) => a.localeCompare(b));

/** Filters the runs by one tag. It is hidden if no run has a tag. */
export function TagFilter({
  tags,
  chosen,
  onChoose,
}: {
  tags: readonly string[];
  chosen: string | null;
  onChoose: (tag: string | null) => void;
}): React.ReactNode {
  if (tags.length === 0) return null;
  return (
    <div className="tag-filter" role="group" aria-label="Only runs with this tag">
      {tags.map((tag) => (
        <button
          key={tag}
          type="button"
          className="tag"
          aria-pressed={tag === chosen}
          onClick={() => onChoose(tag === chosen ? null : tag)}
          data-testid={`tag-filter-${tag}`}
        >
          {tag}
        </button>
      ))}
    </div>
  );
}
