import { backendNames, BackendError, selectBackend, type BackendCandidate } from './backend/select-backend.js';
import { loadBaseModel } from './checkpoint.js';

/** Prints which backend a run will use, why better ones are not used, and how to get them; `--json` for programs. */
const report = await selectBackend().catch((error: unknown) => {
  if (!(error instanceof BackendError)) throw error;
  console.error(error.message);
  process.exit(1);
});
const base = await loadBaseModel();

if (process.argv.includes('--json')) {
  console.log(JSON.stringify({ ...report, base: base.record.accuracy }));
} else {
  const line = ({ name, usable, device, reason, remedy }: BackendCandidate): string =>
    usable ? `  * ${name} (${device}) is used` : `    ${name} is not used: ${reason} ${remedy}`.trimEnd();
  console.log('Training backends, best first:');
  for (const candidate of report.considered) console.log(line(candidate));
  for (const name of backendNames.slice(report.considered.length)) console.log(`    ${name} is not needed`);
  console.log(
    `Base model: ${base.record.steps} steps, held-out accuracy ${base.record.meanAccuracy.toFixed(1)} %, files intact`,
  );
}
