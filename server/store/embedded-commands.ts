import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { DuckDbFile } from './duckdb-file.js';
import type { TakeTexts } from './event-store.js';
import type { StoreGuard } from './store-guard.js';

/** The table of commands, counted in the ledger. */
export class CommandTable {
  constructor(
    readonly file: DuckDbFile,
    readonly guard: StoreGuard,
  ) {}

  async put(record: CommandRecord): Promise<void> {
    await this.file.write(async (transaction) => {
      const { commandId, runId, receivedMs } = record;
      const known = await transaction.run('SELECT 1 FROM commands WHERE command_id = $1', [commandId]);
      await transaction.run('INSERT OR REPLACE INTO commands VALUES ($1, $2, $3, $4)', [
        ...[commandId, runId, receivedMs],
        JSON.stringify(record),
      ]);
      const { ledger } = this.guard;
      if (known.rowCount === 0)
        transaction.afterCommit(() => ledger.count(runId, { commands: ledger.commands(runId) + 1 }));
    });
  }

  async get(commandId: CommandId): Promise<CommandRecord | null> {
    const sql = 'SELECT record FROM commands WHERE command_id = $1';
    const [row] = await this.file.read((reader) => reader.rows(sql, [commandId]));
    return row ? (JSON.parse(row[0] as string) as CommandRecord) : null;
  }

  /** The records of a run as texts, in order of the commands. */
  async each(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void> {
    // Sorted by the times in the records: files of older versions have other numbers in received_ms.
    const sql = `SELECT record FROM commands WHERE run_id = $1
      ORDER BY (record->>'$.receivedMs')::DOUBLE, command_id`;
    await this.file.read(
      (reader) => reader.chunks(sql, [runId], (chunk) => take(chunk.getColumnValues(0) as string[])),
      signal,
    );
  }

  async runsWithOpen(): Promise<RunId[]> {
    // Quotes within strings are escaped, so this matches keys only. A nested key of this name only adds a run too many.
    const sql = `SELECT DISTINCT run_id FROM commands WHERE record LIKE '%"state":"pending"%'`;
    return (await this.file.read((reader) => reader.rows(sql))).map(([runId]) => runId as RunId);
  }
}
