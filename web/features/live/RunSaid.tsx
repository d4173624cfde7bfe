'use client';
import { settingEntries, settingValue, type SettingEntry } from '@plumbline/shared/settings-list';
import { SettingName } from '../runs/SettingName';
import { useRun } from './use-run';

/** The notes and settings that the trainer sent; nothing if it sent none. */
export function RunSaid(): React.ReactNode {
  const { store } = useRun();
  const description = store.runSummary?.description;
  if (!description) return null;
  const entries = settingEntries(description.settings);
  if (entries.length === 0 && description.notes === '') return null;
  return (
    <section className="panel run-said" aria-labelledby="said-title" data-testid="run-said">
      <header className="panel-head">
        <h2 id="said-title">{entries.length > 0 ? 'Settings' : 'Notes'}</h2>
        <span className="dim">as its trainer sent them</span>
      </header>
      {description.notes !== '' && (
        <p className="run-notes" data-testid="run-notes">
          {description.notes}
        </p>
      )}
      {entries.length > 0 && <SettingsList entries={entries} />}
    </section>
  );
}

/** More settings than this are folded. */
const shown = 14;

function SettingsList({ entries }: { entries: readonly SettingEntry[] }): React.ReactNode {
  const [first, rest] = [entries.slice(0, shown), entries.slice(shown)];
  return (
    <>
      <Settings entries={first} />
      {rest.length > 0 && (
        <details className="more-settings">
          <summary>{rest.length} more</summary>
          <Settings entries={rest} before={first.at(-1)} />
        </details>
      )}
    </>
  );
}

/** One line per setting. A group's name stands once, above its settings. */
function Settings({
  entries,
  before,
}: {
  entries: readonly SettingEntry[];
  before?: SettingEntry | undefined;
}): React.ReactNode {
  return (
    <dl className="settings-list">
      {entries.map((entry, index) => {
        const group = groupOf(entry);
        const isNew = group !== groupOf(entries[index - 1] ?? before);
        return (
          <div key={entry.path.join('\u0000')} data-grouped={group !== ''}>
            {isNew && group !== '' && <span className="settings-group">{group}</span>}
            <dt>
              <SettingName name={entry.path.at(-1)!} />
            </dt>
            <dd data-kind={typeof entry.value}>{settingValue(entry)}</dd>
          </div>
        );
      })}
    </dl>
  );
}

const groupOf = (entry: SettingEntry | undefined): string => entry?.path.slice(0, -1).join(' › ') ?? '';
