import { differingSettings } from '@plumbline/shared/settings-list';
import { SettingName } from '../runs/SettingName';
import { Tags } from '../runs/Tags';
import type { ComparedRun } from './CompareTable';

/** The settings that differ between the runs, and their tags and notes: one row each, one column per run. */
export function SettingsTable({ runs }: { runs: readonly ComparedRun[] }): React.ReactNode {
  const descriptions = runs.map(({ run }) => run.description);
  const differing = runs.length > 1 ? differingSettings(descriptions.map(({ settings }) => settings)) : [];
  const haveTags = descriptions.some(({ tags }) => tags.length > 0);
  const haveNotes = descriptions.some(({ notes }) => notes !== '');
  if (differing.length === 0 && !haveTags && !haveNotes) return null;
  return (
    <section className="panel compare-table-panel">
      <table className="settings-table" data-testid="settings-table">
        <thead>
          <tr>
            <th scope="col">{differing.length > 0 ? 'Settings that differ' : ''}</th>
            {runs.map(({ run, name, color }) => (
              <th key={run.runId} scope="col">
                <i className="swatch" data-color={color} /> {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {haveTags && (
            <tr>
              <th scope="row">tags</th>
              {runs.map(({ run }) => (
                <td key={run.runId}>
                  <Tags tags={run.description.tags} />
                </td>
              ))}
            </tr>
          )}
          {haveNotes && (
            <tr>
              <th scope="row">notes</th>
              {runs.map(({ run }) => (
                <td key={run.runId} className="settings-notes">
                  {run.description.notes}
                </td>
              ))}
            </tr>
          )}
          {differing.map(({ name, values }) => (
            <tr key={name}>
              <th scope="row">
                <SettingName name={name} />
              </th>
              {runs.map(({ run }, index) => (
                <td key={run.runId}>{values[index] ?? <span className="dim">–</span>}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
