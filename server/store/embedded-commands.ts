import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { DuckDbFile } from './duckdb-file.js';
import { maxPageBytes } from './embedded-large-events.js';
import type { TakeTexts } from './event-store.js';
import { inBatches } from './series-batches.js';
import type { StoreGuard } from './store-guard.js';

/** When a command was received, by its record: files of older versions hold other numbers in received_ms. */
const received = `(record->>'$.receivedMs')::DOUBLE`;

/** The table of commands, and their count in the ledger. */
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
    await this.file.read(async (reader) => {
      const keys = (await reader.rows(
        `SELECT ${received}, command_id, strlen(record)::DOUBLE FROM commands WHERE run_id = $1 ORDER BY 1, 2`,
        [runId],
      )) as [receivedMs: number, commandId: string, bytes: number][];
      for (const page of inBatches(keys, ([, , bytes]) => bytes, maxPageBytes)) {
        const [[firstMs, firstId], [lastMs, lastId]] = [page[0]!, page.at(-1)!];
        const records = await reader.rows(
          `SELECT record FROM commands
           WHERE run_id = $1
             AND (${received} > $2::DOUBLE OR ${received} = $2::DOUBLE AND command_id >= $3)
             AND (${received} < $4::DOUBLE OR ${received} = $4::DOUBLE AND command_id <= $5)
           ORDER BY ${received}, command_id`,
          [runId, firstMs, firstId, lastMs, lastId],
        );
        await reader.hand(() => take(records.map(([record]) => record as string)));
      }
    }, signal);
  }

  async runsWithOpen(): Promise<RunId[]> {
    // Quotes within strings are escaped, so this matches keys only. A nested key of this name only adds a run too many.
    const sql = `SELECT DISTINCT run_id FROM commands WHERE record LIKE '%"state":"pending"%'`;
    return (await this.file.read((reader) => reader.rows(sql))).map(([runId]) => runId as RunId);
  }
}
